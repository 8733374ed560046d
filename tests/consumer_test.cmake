# A project of its own, tests/consumer, uses ramp: by find_package after an installation, or by
# add_subdirectory, with the line that stands there behind "or:".
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
file(COPY ${SOURCE}/tests/consumer/ DESTINATION ${SCRATCH}/project)
if(HOW STREQUAL "installed")
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
  set(where -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix)
  set(target consumer)
else()
  set(where)
  file(CREATE_LINK ${SOURCE} ${SCRATCH}/project/ramp SYMBOLIC)
  file(READ ${SCRATCH}/project/CMakeLists.txt text)
  string(REGEX REPLACE "find_package[^#]*# or: " "" text "${text}")
  file(WRITE ${SCRATCH}/project/CMakeLists.txt "${text}")
  if(GENERATOR MATCHES "Ninja")
    set(target CMakeFiles/consumer.dir/main.cc.o)
  else()
    set(target main.cc.o)
  endif()
endif()

run(${CMAKE_COMMAND} -S ${SCRATCH}/project -B ${SCRATCH}/build -G ${GENERATOR} ${where}
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_CXX_FLAGS=${FLAGS})
run(${CMAKE_COMMAND} --build ${SCRATCH}/build --target ${target})
if(HOW STREQUAL "installed")
  run(${CMAKE_COMMAND} -E chdir ${SCRATCH}/build ./consumer)
  if(NOT out MATCHES "epoch 3/3 .*accuracy 9[78]")
    message(FATAL_ERROR "the program printed: ${out}")
  endif()
  # The data are installed too.
  file(WRITE ${SCRATCH}/project/main.cc "#include <ramp/data/mnist.h>\n"
       "int main() { return ramp::load_mnist(\"mnist\", ramp::Split::test).size() == 10000 ? 0 : 1; }\n")
  run(${CMAKE_COMMAND} --build ${SCRATCH}/build --target ${target})
  run(${SCRATCH}/build/consumer)
endif()
