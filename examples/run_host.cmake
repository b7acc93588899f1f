# Runs PROGRAM in an empty FOLDER that is removed afterwards.
file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER})
execute_process(COMMAND ${PROGRAM} ${FOLDER} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE errors)
file(REMOVE_RECURSE ${FOLDER})
if(NOT status EQUAL 0 OR NOT output MATCHES "Nguyen Thi A" OR NOT output MATCHES "disclose for reception")
  message(FATAL_ERROR "exit ${status}\n${output}${errors}")
endif()
