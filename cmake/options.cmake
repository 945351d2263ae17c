# Compiler settings that every Ebb target shares. Contraction is off everywhere: a*b+c rounds twice unless the code says fma.
function(ebb_target_options target)
  target_compile_options(${target} PRIVATE -ffp-contract=off -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
                                           -Wold-style-cast -Wnon-virtual-dtor
                                           $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>) # GCC bug 105651: false alarms on std::string
  if(EBB_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  set(sanitizers ${EBB_SANITIZE})
  if(EBB_BUILD_FUZZ)
    list(APPEND sanitizers address,undefined,fuzzer-no-link)
  endif()
  foreach(sanitizer IN LISTS sanitizers)
    target_compile_options(${target} PRIVATE -fsanitize=${sanitizer} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${sanitizer})
  endforeach()
endfunction()
