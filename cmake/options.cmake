# Compiler settings that every Ebb target shares. Contraction is off everywhere: a*b+c rounds twice unless the code says fma.
function(ebb_target_options target)
  target_compile_options(${target} PRIVATE -ffp-contract=off -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
                                           -Wold-style-cast -Wnon-virtual-dtor)
  if(EBB_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(EBB_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${EBB_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${EBB_SANITIZE})
  endif()
endfunction()
