# Cross-compiles with Debian's g++-aarch64-linux-gnu; tests run under qemu-user. Needs the arm64 packages of zlib, lzma, libjpeg, libpng, pugixml and OpenSSL:
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get install g++-aarch64-linux-gnu qemu-user {zlib1g-dev,liblzma-dev,libjpeg-dev,libpng-dev,libpugixml-dev,libssl-dev}:arm64
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig)  # FindOpenSSL asks pkg-config first
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
