# Everything that is not ours, behind one target: lacuna_dependencies.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(ICU REQUIRED COMPONENTS uc)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(SNDFILE REQUIRED IMPORTED_TARGET sndfile)
pkg_check_modules(SAMPLERATE REQUIRED IMPORTED_TARGET samplerate)
find_package(PNG REQUIRED)
pkg_check_modules(TURBOJPEG REQUIRED IMPORTED_TARGET libturbojpeg)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
# Ubuntu's sentencepiece.pc requires a module of protobuf that its package does not bring, so the library is found by name.
find_library(SENTENCEPIECE sentencepiece REQUIRED)
find_library(SENTENCEPIECE_TRAIN sentencepiece_train REQUIRED)

# LibTorch as launch/setup lays it out: lib/ and include/ of the wheel, with the CUDA run time beside it.
if(DEFINED ENV{LACUNA_CACHE})
  set(cache $ENV{LACUNA_CACHE})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(cache $ENV{XDG_CACHE_HOME}/lacuna)
else()
  set(cache $ENV{HOME}/.cache/lacuna)
endif()
set(LACUNA_LIBTORCH ${cache}/libtorch-2.11.0 CACHE PATH "Folder with LibTorch's lib and include")
if(NOT EXISTS ${LACUNA_LIBTORCH}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch is not in ${LACUNA_LIBTORCH}. Run launch/setup, or name its folder with -DLACUNA_LIBTORCH=...")
endif()

add_library(lacuna_dependencies INTERFACE)
# -idirafter: LibTorch brings its own fmt, which must not hide the system's (spdlog needs that one).
target_compile_options(lacuna_dependencies INTERFACE
  "SHELL:-idirafter ${LACUNA_LIBTORCH}/include" "SHELL:-idirafter ${LACUNA_LIBTORCH}/include/torch/csrc/api/include")
target_link_libraries(lacuna_dependencies INTERFACE
  ${LACUNA_LIBTORCH}/lib/libtorch_cpu.so ${LACUNA_LIBTORCH}/lib/libc10.so
  MPI::MPI_C ${HDF5_C_LIBRARIES} spdlog::spdlog nlohmann_json::nlohmann_json ZLIB::ZLIB PkgConfig::PCRE2
  ${SENTENCEPIECE} ${SENTENCEPIECE_TRAIN} PkgConfig::SNDFILE PkgConfig::SAMPLERATE PNG::PNG PkgConfig::TURBOJPEG
  ICU::uc OpenSSL::Crypto Threads::Threads)
target_compile_definitions(lacuna_dependencies INTERFACE OMPI_SKIP_MPICXX)  # the C++ bindings that MPI removed
target_include_directories(lacuna_dependencies SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_options(lacuna_dependencies INTERFACE
  -Wl,-rpath,${LACUNA_LIBTORCH}/lib -Wl,--allow-shlib-undefined)
