# Compiler settings that every Ebb target shares. Contraction is off everywhere: a*b+c rounds twice unless the code says fma. Nobody
# reads errno after a square root, and one that might set it is not vectorised.
function(ebb_target_options target)
  target_compile_options(${target} PRIVATE -ffp-contract=off -fno-math-errno -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
                                           -Wold-style-cast -Wnon-virtual-dtor
                                           $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>) # GCC bug 105651: false alarms on std::string
  if(EBB_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  set(sanitizers ${EBB_SANITIZE})
  if(EBB_BUILD_FUZZ)
    list(APPEND sanitizers address,undefined)
  endif()
  foreach(sanitizer IN LISTS sanitizers)
    target_compile_options(${target} PRIVATE -fsanitize=${sanitizer} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${sanitizer})
  endforeach()
  if(EBB_BUILD_FUZZ) # the address sanitizer sees what these would, and they are a large part of the compiler's work
    target_compile_options(${target} PRIVATE -fno-sanitize=null,object-size,vptr)
    if(target STREQUAL "ebb") # which holds the parsers; a fuzzer has no use for the coverage of anything else
      target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
  endif()
endfunction()

# Adds sources to Ebb, or to TARGET, that are compiled for one instruction set each and chosen at run time. GCC 12 warns about its own AVX-512 headers.
function(ebb_kernel_sources)
  cmake_parse_arguments(PARSE_ARGV 0 kernels "" "TARGET" "AVX2;AVX512")
  if(NOT kernels_TARGET)
    set(kernels_TARGET ebb)
  endif()
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    return()
  endif()
  target_sources(${kernels_TARGET} PRIVATE ${kernels_AVX2} ${kernels_AVX512})
  set(avx2 -mavx2 -mfma)
  if(NOT EBB_SANITIZE AND NOT EBB_BUILD_FUZZ) # instrumented, loops that are unrolled take minutes to compile
    list(PREPEND avx2 -O3)
  endif()
  set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mprefer-vector-width=512)
  if(EBB_BUILD_FUZZ) # kernels read nothing that a fuzzer makes up
    # Unrolled, they access memory so often that checks are calls, not inlined: half the time to compile.
    set(unrolled -fno-sanitize=fuzzer-no-link -mllvm -asan-instrumentation-with-call-threshold=100)
    list(APPEND avx2 ${unrolled})
    list(APPEND avx512 ${unrolled})
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    list(APPEND avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(${kernels_AVX2} TARGET_DIRECTORY ${kernels_TARGET} PROPERTIES COMPILE_OPTIONS "${avx2}")
  set_source_files_properties(${kernels_AVX512} TARGET_DIRECTORY ${kernels_TARGET} PROPERTIES COMPILE_OPTIONS "${avx512}")
endfunction()
