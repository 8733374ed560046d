# `cmake --install`, and find_package(ramp) for those who use it: target ramp::ramp.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/ramp)

install(TARGETS ramp EXPORT ramp ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(RAMP_BUILD_TOOLS)
  install(TARGETS ramp-report RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES ${PROJECT_SOURCE_DIR}/ramp.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ramp)
foreach(folder core autograd layers optim data train io glass)
  if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/${folder})
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ramp
            FILES_MATCHING PATTERN "*.h" PATTERN kernels EXCLUDE PATTERN mnist EXCLUDE
            PATTERN languages EXCLUDE PATTERN pytorch EXCLUDE)
  endif()
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/data/mnist DESTINATION ${CMAKE_INSTALL_DATADIR}/ramp)

install(EXPORT ramp NAMESPACE ramp:: FILE ramp-targets.cmake DESTINATION ${package})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/ramp-config.cmake.in
                              ${PROJECT_BINARY_DIR}/ramp-config.cmake INSTALL_DESTINATION ${package}
                              PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ramp-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ramp-config.cmake ${PROJECT_BINARY_DIR}/ramp-config-version.cmake
        DESTINATION ${package})
