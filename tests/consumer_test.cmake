# A project of its own uses ramp: by find_package after an installation, or by add_subdirectory.
#   cmake -DHOW=installed|subdirectory -DSOURCE=<tree> -DBUILD=<build of it> -DSCRATCH=<folder> [-D...] -P consumer_test.cmake
# The subdirectory case configures all and compiles the user's file, but not ramp a second time.
cmake_minimum_required(VERSION 3.22)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
if(HOW STREQUAL "installed")
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
  set(where -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix)
  set(target consumer)
else()
  set(where -DRAMP_SOURCE=${SOURCE})
  set(target consumer_object)
endif()

run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${SCRATCH}/build -G ${GENERATOR} ${where}
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_CXX_FLAGS=${FLAGS})
run(${CMAKE_COMMAND} --build ${SCRATCH}/build --target ${target})
if(HOW STREQUAL "installed")
  run(${SCRATCH}/build/consumer)
  if(NOT out STREQUAL "100 % right\n10000 test images\n")
    message(FATAL_ERROR "the program printed: ${out}")
  endif()
endif()
