# Install and export: find_package(ebb) gives ebb::ebb, pkg-config gives ebb. Both work from wherever the prefix is moved to.
include(CMakePackageConfigHelpers)

# What the static library leaves for its user to link: CMake package and pkg-config module by linked target.
set(EBB_DEPENDENCY_ZLIB::ZLIB "find_dependency(ZLIB)" zlib)
set(EBB_DEPENDENCY_OpenSSL::Crypto "find_dependency(OpenSSL COMPONENTS Crypto)" libcrypto)
set(EBB_DEPENDENCY_LibLZMA::LibLZMA "find_dependency(LibLZMA)" liblzma)
set(EBB_DEPENDENCY_JPEG::JPEG "find_dependency(JPEG)" libjpeg)
set(EBB_DEPENDENCY_PNG::PNG "find_dependency(PNG)" libpng)
set(EBB_DEPENDENCY_pugixml::pugixml "find_dependency(pugixml)" pugixml)
set(EBB_DEPENDENCY_Threads::Threads "find_dependency(Threads)" "")
set(EBB_DEPENDENCY_OpenMP::OpenMP_CXX "find_dependency(OpenMP COMPONENTS CXX)" "")
# What only the readers of data sets need: component `data` of the CMake package.
set(EBB_DATA_DEPENDENCIES ZLIB::ZLIB LibLZMA::LibLZMA JPEG::JPEG PNG::PNG pugixml::pugixml)

set(EBB_FIND_DEPENDENCIES "")
set(EBB_PC_REQUIRES "")
get_target_property(linked ebb LINK_LIBRARIES)
list(REMOVE_DUPLICATES linked)
foreach(library IN LISTS linked)
  if(library MATCHES "^::@|^\\$<BUILD_INTERFACE:")  # a directory mark, or a header-only library that only our sources see
    continue()
  endif()
  if(NOT DEFINED EBB_DEPENDENCY_${library})
    message(FATAL_ERROR "ebb links ${library}: add it to the table in cmake/install.cmake")
  endif()
  list(GET EBB_DEPENDENCY_${library} 0 find)
  list(GET EBB_DEPENDENCY_${library} 1 module)
  if(library IN_LIST EBB_DATA_DEPENDENCIES)
    string(REPLACE "find_dependency" "ebb_find_for_data" find "${find}")
    string(REPLACE "(" "(${library} " find "${find}")
  endif()
  string(APPEND EBB_FIND_DEPENDENCIES "${find}\n")
  string(APPEND EBB_PC_REQUIRES " ${module}")
endforeach()
string(STRIP "${EBB_PC_REQUIRES}" EBB_PC_REQUIRES)

set(EBB_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/ebb)
install(
  TARGETS ebb
  EXPORT ebbTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ebb
  FILE_SET umbrella DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(CODE "set(EBB_INCLUDEDIR \"${CMAKE_INSTALL_INCLUDEDIR}\")")
install(SCRIPT cmake/installed_includes.cmake)
install(EXPORT ebbTargets NAMESPACE ebb:: DESTINATION ${EBB_CMAKE_DIR})
configure_package_config_file(cmake/ebbConfig.cmake.in ebbConfig.cmake INSTALL_DESTINATION ${EBB_CMAKE_DIR}
                              PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(ebbConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ebbConfig.cmake ${PROJECT_BINARY_DIR}/ebbConfigVersion.cmake DESTINATION ${EBB_CMAKE_DIR})

install(FILES LICENSE README.md CHANGELOG.md CONTRIBUTING.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DOCDIR})

file(RELATIVE_PATH EBB_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/ebb.pc.in ebb.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/ebb.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
