# What `cmake --install` puts where. Components: casevault_Runtime (library, command) and casevault_Development (headers,
# link name, CMake package, pkg-config file).
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/casevault)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS casevault EXPORT casevaultTargets
  RUNTIME COMPONENT casevault_Runtime
  LIBRARY COMPONENT casevault_Runtime NAMELINK_COMPONENT casevault_Development
  ARCHIVE COMPONENT casevault_Development
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/casevault DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT casevault_Development)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT casevault_Runtime)
install(EXPORT casevaultTargets NAMESPACE casevault:: DESTINATION ${package_dir} COMPONENT casevault_Development)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/casevaultConfig.cmake.in
  ${PROJECT_BINARY_DIR}/casevaultConfig.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break callers.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/casevaultConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/casevaultConfig.cmake ${PROJECT_BINARY_DIR}/casevaultConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT casevault_Development)

# Relative to the file itself, so that the installed tree can be moved.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${pkgconfig_dir}
  OUTPUT_VARIABLE up_to_prefix)
set(requires_static "")
if(NOT BUILD_SHARED_LIBS)
  set(requires_static "libcrypto libsodium lmdb")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/casevault.pc.in ${PROJECT_BINARY_DIR}/casevault.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/casevault.pc DESTINATION ${pkgconfig_dir} COMPONENT casevault_Development)
