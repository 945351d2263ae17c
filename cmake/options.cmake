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
  if(sanitizers)
    target_compile_definitions(${target} PRIVATE EBB_SANITIZED)
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

# Kernels are compiled once for each of these targets, into an object library of its own (ebb_portable, ebb_avx2, ...), and chosen
# at run time. EBB_TARGET is the target's name in the source; EBB_FLAGS_<target> are its options.
set(EBB_TARGETS portable)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND EBB_TARGETS avx2 avx512)
endif()
set(EBB_FLAGS_portable)
if(NOT EBB_SANITIZE AND NOT EBB_BUILD_FUZZ) # instrumented, loops that are unrolled take minutes to compile
  set(EBB_FLAGS_portable -O3) # loops that every compiler should turn into vectors, whatever the build type
endif()
if(EBB_BUILD_FUZZ) # kernels read nothing that a fuzzer makes up, and unrolled they access memory so often that checks are calls
  set(EBB_FLAGS_portable -mllvm -asan-instrumentation-with-call-threshold=100)
endif()
set(EBB_FLAGS_avx2 ${EBB_FLAGS_portable} -mavx2 -mfma)
set(EBB_FLAGS_avx512 ${EBB_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mprefer-vector-width=512)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU) # GCC 12 warns about its own AVX-512 headers
  list(APPEND EBB_FLAGS_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
foreach(target IN LISTS EBB_TARGETS)
  add_library(ebb_${target} OBJECT)
  target_compile_features(ebb_${target} PRIVATE cxx_std_20)
  target_compile_definitions(ebb_${target} PRIVATE EBB_TARGET=${target})
  target_compile_options(ebb_${target} PRIVATE ${EBB_FLAGS_${target}})
  target_include_directories(ebb_${target} PRIVATE ${PROJECT_SOURCE_DIR})
  set_target_properties(ebb_${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  ebb_target_options(ebb_${target})
  target_sources(ebb PRIVATE $<TARGET_OBJECTS:ebb_${target}>)
endforeach()

# ebb_kernel_sources([TARGETS target...] SOURCES source...): compiles each source for the targets, all unless some are named.
function(ebb_kernel_sources)
  cmake_parse_arguments(PARSE_ARGV 0 kernels "" "" "TARGETS;SOURCES")
  if(NOT kernels_TARGETS)
    set(kernels_TARGETS ${EBB_TARGETS})
  endif()
  foreach(target IN LISTS kernels_TARGETS)
    if(target IN_LIST EBB_TARGETS)
      target_sources(ebb_${target} PRIVATE ${kernels_SOURCES})
    endif()
  endforeach()
endfunction()
