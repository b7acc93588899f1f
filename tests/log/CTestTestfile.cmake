# CMake generated Testfile for 
# Source directory: /tmp/logtree/tests/log
# Build directory: /tmp/logtree/tests/log
# 
# This file includes the relevant testing commands required for 
# testing this directory and lists subdirectories to be tested as well.
add_test([=[log]=] "/tmp/logtree/bin/test_log")
set_tests_properties([=[log]=] PROPERTIES  TIMEOUT "300" _BACKTRACE_TRIPLES "/tmp/logtree/tests/CMakeLists.txt;14;add_test;/tmp/logtree/tests/log/CMakeLists.txt;1;casevault_test;/tmp/logtree/tests/log/CMakeLists.txt;0;")
