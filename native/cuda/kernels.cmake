# Compiles each native/cuda/kernels/*.cu with nvcc to a fatbin (machine code of every target, and PTX for later ones), which
# native/cuda/driver/kernel_images.cc embeds. Where there is no nvcc it embeds nothing, and devices() says so.
option(PYRAMIDION_CUDA "Embed the CUDA kernels where nvcc is found" ON)
# Targets of nvcc; fewer compile faster.
if(NOT PYRAMIDION_CUDA_ARCHITECTURES)
  set(PYRAMIDION_CUDA_ARCHITECTURES $ENV{PYRAMIDION_CUDA_ARCHITECTURES})
endif()
if(NOT PYRAMIDION_CUDA_ARCHITECTURES)
  set(PYRAMIDION_CUDA_ARCHITECTURES 80 86 89 90 100 120)
endif()
set(PYRAMIDION_CUDA_FLAGS "" CACHE STRING "More flags for nvcc, as -lineinfo for profilers and for what the tests report")

function(embed_kernels)
  if(PYRAMIDION_CUDA AND UNIX AND NOT APPLE)
    find_program(PYRAMIDION_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
  endif()
  if(NOT PYRAMIDION_NVCC)
    message(NOTICE "No nvcc: the addon is built without CUDA kernels and will compute on the processor only.")
    return()
  endif()
  execute_process(COMMAND ${PYRAMIDION_NVCC} --version OUTPUT_VARIABLE version)
  string(REGEX REPLACE ".*release ([0-9]+)\\..*" "\\1" major "${version}")

  list(GET PYRAMIDION_CUDA_ARCHITECTURES 0 oldest)
  set(targets -gencode arch=compute_${oldest},code=compute_${oldest})
  foreach(architecture IN LISTS PYRAMIDION_CUDA_ARCHITECTURES)
    list(APPEND targets -gencode arch=compute_${architecture},code=sm_${architecture})
  endforeach()

  set(folder ${CMAKE_BINARY_DIR}/kernels)
  file(MAKE_DIRECTORY ${folder})
  file(GLOB headers CONFIGURE_DEPENDS native/cuda/*.h native/cuda/kernels/*.cuh)
  file(GLOB sources CONFIGURE_DEPENDS native/cuda/kernels/*.cu)
  set(images)
  set(image_list "")
  foreach(source IN LISTS sources)
    get_filename_component(family ${source} NAME_WE)
    set(image ${folder}/${family}.fatbin)
    # No contraction, as on the processor. Not compressed: the tests run the PTX.
    add_custom_command(OUTPUT ${image}
      COMMAND ${PYRAMIDION_NVCC} -fatbin -std=c++17 -O3 --fmad=false --no-compress ${PYRAMIDION_CUDA_FLAGS} -I${CMAKE_SOURCE_DIR}/native ${targets}
              -o ${image} ${source}
      DEPENDS ${source} ${headers} COMMENT "nvcc ${family}.cu" VERBATIM)
    list(APPEND images ${image})
    string(APPEND image_list "PYRAMIDION_KERNEL_IMAGE(${family}, \"${image}\")\n")
  endforeach()
  file(GENERATE OUTPUT ${folder}/kernel_images.inc CONTENT "${image_list}")
  set_source_files_properties(${KERNEL_IMAGES} PROPERTIES OBJECT_DEPENDS "${images};${folder}/kernel_images.inc"
    COMPILE_DEFINITIONS "PYRAMIDION_KERNEL_IMAGES=\"${folder}/kernel_images.inc\";PYRAMIDION_CUDA_MAJOR=${major}")
endfunction()
