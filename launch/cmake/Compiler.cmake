# Warnings, sanitizers, compiler cache and linker: how our own code is compiled.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")  # checks stay on: no NDEBUG; hot loops ask for -O3 themselves

find_program(CCACHE ccache)
if(CCACHE)
  # The precompiled header needs the two sloppiness settings; base_dir lets checkouts share the cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# AVX2 is the floor; the hot kernels also carry an AVX-512 version that is chosen at run time.
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-march=x86-64-v3> $<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno>)
add_compile_definitions(LACUNA_VERSION="${PROJECT_VERSION}")
if(LACUNA_SANITIZE)
  add_compile_options(-fsanitize=${LACUNA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${LACUNA_SANITIZE})
  add_compile_definitions(LACUNA_SANITIZED)
endif()

option(LACUNA_WERROR "Treat warnings as errors" OFF)
add_library(lacuna_warnings INTERFACE)
target_compile_options(lacuna_warnings INTERFACE -Wall -Wextra -Wshadow -Wpedantic $<$<BOOL:${LACUNA_WERROR}>:-Werror>)

option(LACUNA_TIDY "Run clang-tidy beside the compiler" OFF)
if(LACUNA_TIDY)
  find_program(CLANG_TIDY clang-tidy REQUIRED)
  set(CMAKE_CXX_CLANG_TIDY ${CLANG_TIDY})
endif()

# LibTorch's headers cost ten seconds a file; they are compiled once, with the first target, and shared by every target after it.
# Reading them back still costs two, so a file that names nothing of LibTorch, nor of a folder that is built on it, goes without.
set(LACUNA_HEAVY_INCLUDE "^#include [\"<](ATen|c10|torch|objectives|launch/assemble|data/batch|tests/support/(network|gradients)|trainer/(checkpoint/checkpoint|checkpoint/safetensors\\.h|evaluate|kernels|model|objective|optim|parallel|step|trainer|training))")
function(lacuna_precompile target)
  if(LACUNA_TIDY)
    target_precompile_headers(${target} PRIVATE ${CMAKE_SOURCE_DIR}/launch/cmake/precompiled.h)
  else()
    if(NOT TARGET lacuna_precompiled)
      file(WRITE ${CMAKE_BINARY_DIR}/precompiled.cpp "")
      add_library(lacuna_precompiled OBJECT ${CMAKE_BINARY_DIR}/precompiled.cpp)
      target_link_libraries(lacuna_precompiled PRIVATE lacuna_dependencies lacuna_warnings)
      target_precompile_headers(lacuna_precompiled PRIVATE ${CMAKE_SOURCE_DIR}/launch/cmake/precompiled.h)
    endif()
    target_precompile_headers(${target} REUSE_FROM lacuna_precompiled)
  endif()
  foreach(source ${ARGN})
    file(STRINGS ${source} heavy REGEX "${LACUNA_HEAVY_INCLUDE}" LIMIT_COUNT 1)
    if(NOT heavy)
      set_source_files_properties(${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
endfunction()
