
# Consider dependencies only in project.
set(CMAKE_DEPENDS_IN_PROJECT_ONLY OFF)

# The set of languages for which implicit dependencies are needed:
set(CMAKE_DEPENDS_LANGUAGES
  )

# The set of dependency files which are needed:
set(CMAKE_DEPENDS_DEPENDENCY_FILES
  "/tmp/logtree/tests/main.cpp" "tests/log/CMakeFiles/test_log.dir/__/main.cpp.o" "gcc" "tests/log/CMakeFiles/test_log.dir/__/main.cpp.o.d"
  "/tmp/logtree/tests/log/concurrency_test.cpp" "tests/log/CMakeFiles/test_log.dir/concurrency_test.cpp.o" "gcc" "tests/log/CMakeFiles/test_log.dir/concurrency_test.cpp.o.d"
  "/tmp/logtree/tests/log/damage_test.cpp" "tests/log/CMakeFiles/test_log.dir/damage_test.cpp.o" "gcc" "tests/log/CMakeFiles/test_log.dir/damage_test.cpp.o.d"
  "/tmp/logtree/tests/log/failure_test.cpp" "tests/log/CMakeFiles/test_log.dir/failure_test.cpp.o" "gcc" "tests/log/CMakeFiles/test_log.dir/failure_test.cpp.o.d"
  "/tmp/logtree/tests/log/log_test.cpp" "tests/log/CMakeFiles/test_log.dir/log_test.cpp.o" "gcc" "tests/log/CMakeFiles/test_log.dir/log_test.cpp.o.d"
  )

# Targets to which this target links.
set(CMAKE_TARGET_LINKED_INFO_FILES
  )

# Fortran module output directory.
set(CMAKE_Fortran_TARGET_MODULE_DIR "")
