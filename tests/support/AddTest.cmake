# How test programs are built and registered.
set(lacuna_test_environment
    OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
    LACUNA=$<TARGET_FILE:lacuna> LACUNA_SOURCE=${CMAKE_SOURCE_DIR} MPIRUN=${MPIEXEC_EXECUTABLE})
set(lacuna_mpirun ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none)

function(lacuna_test_program name)
  add_executable(${name} ${ARGN})
  # A program is compiled with -fPIE by default, and then cannot use the libraries' precompiled header.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC $<$<CONFIG:Release>:-O1>)
  target_link_libraries(${name} PRIVATE lacuna_launch lacuna_warnings GTest::gtest)
  lacuna_precompile(${name} ${ARGN})
endfunction()

function(lacuna_register name label seconds)
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${seconds} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                       ENVIRONMENT "${lacuna_test_environment}")
endfunction()

# A file is one entry: LibTorch takes a second to load, so an entry a test would cost minutes.
function(lacuna_add_unit_tests label)
  foreach(file ${ARGN})
    cmake_path(GET file STEM stem)
    add_test(NAME ${label}.${stem} COMMAND unit_tests --file=${label}/${stem}.cpp)
    lacuna_register(${label}.${stem} ${label} 300)
  endforeach()
endfunction()

function(lacuna_add_distributed_tests ranks)
  foreach(file ${ARGN})
    cmake_path(GET file STEM stem)
    set(name distributed.${stem}.${ranks}_ranks)
    add_test(NAME ${name} COMMAND ${lacuna_mpirun} -np ${ranks} $<TARGET_FILE:distributed_tests>
             --file=distributed/${stem}.cpp --ranks=${ranks} --gtest_color=no)
    lacuna_register(${name} distributed 300)
    set_tests_properties(${name} PROPERTIES PROCESSORS 2)
  endforeach()
endfunction()

function(lacuna_add_scripts label)
  foreach(file ${ARGN})
    cmake_path(GET file STEM stem)
    cmake_path(GET file EXTENSION LAST_ONLY extension)
    if(extension STREQUAL ".py")
      add_test(NAME ${label}.${stem} COMMAND ${Python3_EXECUTABLE} ${file})
    else()
      add_test(NAME ${label}.${stem} COMMAND bash ${file})
    endif()
    lacuna_register(${label}.${stem} ${label} 900)
    set_tests_properties(${label}.${stem} PROPERTIES PROCESSORS 2 SKIP_RETURN_CODE 77)
  endforeach()
endfunction()

function(lacuna_add_fuzz_targets inputs)
  foreach(file ${ARGN})
    cmake_path(GET file STEM stem)
    lacuna_test_program(fuzz_${stem} ${file})
    add_test(NAME fuzz.${stem} COMMAND fuzz_${stem} ${inputs})
    lacuna_register(fuzz.${stem} fuzz 300)
  endforeach()
endfunction()

# One device serves one program at a time, or tests would run out of its memory and benchmarks would lie.
function(lacuna_add_gpu_tests)
  foreach(file ${ARGN})
    cmake_path(GET file STEM stem)
    add_test(NAME gpu.${stem} COMMAND gpu_tests --file=gpu/${stem}.cpp)
    lacuna_register(gpu.${stem} gpu 300)
    set_tests_properties(gpu.${stem} PROPERTIES RESOURCE_LOCK gpu SKIP_RETURN_CODE 77)
  endforeach()
endfunction()

# FAMILY_rows.cpp defines FAMILY_rows(Table&); the list of families is written here from the files' names.
function(lacuna_add_gpu_bench)
  set(declarations "")
  set(entries "")
  foreach(file ${ARGN})
    cmake_path(GET file STEM stem)
    if(stem MATCHES "^(.+)_rows$")
      string(APPEND declarations "void ${stem}(Table&);\n")
      string(APPEND entries "{\"${CMAKE_MATCH_1}\", ${stem}}, ")
    endif()
  endforeach()
  set(list ${CMAKE_CURRENT_BINARY_DIR}/gpu_families.cpp)
  file(CONFIGURE OUTPUT ${list} @ONLY CONTENT [[
#include "tests/bench/gpu/rows.h"

namespace lacuna::bench {
@declarations@std::vector<Family> families() { return {@entries@}; }
}  // namespace lacuna::bench
]])
  lacuna_test_program(gpu_kernels_bench ${list} ${ARGN})
  set_target_properties(gpu_kernels_bench PROPERTIES EXCLUDE_FROM_ALL ON)
endfunction()
