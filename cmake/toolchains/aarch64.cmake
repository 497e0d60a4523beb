# 64-bit Arm by Debian's cross compiler; what is built runs under qemu (apt-get install g++-aarch64-linux-gnu qemu-user).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;/usr/aarch64-linux-gnu)

# Dependencies are headers, the same on every architecture; Debian files the CMake package of these under the host's.
set(xsimd_DIR /usr/lib/${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu/cmake/xsimd CACHE PATH "")

# The adapters' trainers are libraries, and the installed ones are for this machine.
foreach(host Armadillo dlib Torch)
  set(CMAKE_DISABLE_FIND_PACKAGE_${host} ON)
endforeach()
