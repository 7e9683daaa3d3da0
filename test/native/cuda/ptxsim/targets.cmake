# The interpreter of PTX, its tests, and a libcuda.so.1 made of it. C++17 like all else; no CUDA toolkit needed.
set(PTXSIM ${CMAKE_SOURCE_DIR}/test/native/cuda/ptxsim)
file(GLOB PTXSIM_SOURCES CONFIGURE_DEPENDS ${PTXSIM}/*.cc)
list(FILTER PTXSIM_SOURCES EXCLUDE REGEX "_test\\.cc$|mock_driver\\.cc$")
add_library(ptxsim STATIC EXCLUDE_FROM_ALL ${PTXSIM_SOURCES})
target_include_directories(ptxsim PUBLIC native)

add_library(mock_cuda SHARED EXCLUDE_FROM_ALL ${PTXSIM}/mock_driver.cc)
target_link_libraries(mock_cuda PRIVATE ptxsim)
# In a folder of its own, for LD_LIBRARY_PATH.
set_target_properties(mock_cuda PROPERTIES OUTPUT_NAME cuda SUFFIX .so.1 LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/mock-cuda)

file(GLOB PTXSIM_TESTS CONFIGURE_DEPENDS ${PTXSIM}/*_test.cc)
add_executable(ptxsim_tests EXCLUDE_FROM_ALL ${PTXSIM_TESTS})
target_link_libraries(ptxsim_tests PRIVATE ptxsim doctest::doctest)
