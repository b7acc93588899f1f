file(REMOVE_RECURSE
  "../../bin/test_log"
  "../../bin/test_log.pdb"
  "CMakeFiles/test_log.dir/__/main.cpp.o"
  "CMakeFiles/test_log.dir/__/main.cpp.o.d"
  "CMakeFiles/test_log.dir/concurrency_test.cpp.o"
  "CMakeFiles/test_log.dir/concurrency_test.cpp.o.d"
  "CMakeFiles/test_log.dir/damage_test.cpp.o"
  "CMakeFiles/test_log.dir/damage_test.cpp.o.d"
  "CMakeFiles/test_log.dir/failure_test.cpp.o"
  "CMakeFiles/test_log.dir/failure_test.cpp.o.d"
  "CMakeFiles/test_log.dir/log_test.cpp.o"
  "CMakeFiles/test_log.dir/log_test.cpp.o.d"
)

# Per-language clean rules from dependency scanning.
foreach(lang CXX)
  include(CMakeFiles/test_log.dir/cmake_clean_${lang}.cmake OPTIONAL)
endforeach()
