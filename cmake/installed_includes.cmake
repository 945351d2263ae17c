# Runs at installation. The sources name headers from the root ("core/key.h"); installed ones say <ebb/core/key.h>, so that include/ alone
# is searched: a user's own core/ folder is never taken for ours, nor ours for theirs.
file(GLOB_RECURSE headers "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${EBB_INCLUDEDIR}/ebb/*.h")
foreach(header IN LISTS headers)
  file(READ "${header}" text)
  string(REGEX REPLACE "#include \"([^\"]+)\"" "#include <ebb/\\1>" text "${text}")
  file(WRITE "${header}" "${text}")
endforeach()
