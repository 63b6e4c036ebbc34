# Defines limpet::uring, limpet::hiredis, limpet::jwt and limpet::wolfssl (found or built by dependencies.sh), and one
# target for each library that is always the system's: limpet::jansson, limpet::microhttpd, limpet::curl, limpet::yaml,
# limpet::zlib, limpet::systemd, limpet::crypto; and for the tests limpet::cmocka and limpet::openssl.

set(LIMPET_WOLFSSL "5.7.2" CACHE STRING "Version of wolfSSL: 5.7.2, with Debian's patches, or 5.9.2")
option(LIMPET_UPDATE "Fetch and build the dependencies again at the next configure" OFF)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(update "")
if(LIMPET_UPDATE)
    set(update --update)
    set(LIMPET_UPDATE OFF CACHE BOOL "" FORCE)
endif()
# Progress goes to standard error, and so straight to the terminal. The dependencies are always built with the system's
# compiler, so that one build serves every preset.
execute_process(
    COMMAND ${CMAKE_COMMAND} -E env --unset=CC WOLFSSL_VERSION=${LIMPET_WOLFSSL}
            ${CMAKE_CURRENT_LIST_DIR}/dependencies.sh ${update}
    OUTPUT_VARIABLE dependencies OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE result)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "The dependencies are not complete: see above. Nothing was changed on the system.")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
             ${CMAKE_CURRENT_LIST_DIR}/dependencies.sh
             ${CMAKE_CURRENT_LIST_DIR}/wolfssl/user_settings.h ${CMAKE_CURRENT_LIST_DIR}/wolfssl/stubs.c)

# limpet_system(NAME MODULE): limpet::NAME is what pkg-config knows as MODULE, if there is such a thing.
function(limpet_system name module)
    pkg_check_modules(${name} QUIET IMPORTED_TARGET GLOBAL ${module})
    if(${name}_FOUND)
        add_library(limpet::${name} ALIAS PkgConfig::${name})
        message(STATUS "${name}: system, ${${name}_VERSION}")
    else()
        message(STATUS "${name}: not installed")
    endif()
endfunction()

# limpet_built(NAME PREFIX): limpet::NAME is the static library of that name below PREFIX.
function(limpet_built name prefix)
    add_library(limpet::${name} STATIC IMPORTED GLOBAL)
    set_target_properties(limpet::${name} PROPERTIES
        IMPORTED_LOCATION ${prefix}/lib/lib${name}.a
        INTERFACE_INCLUDE_DIRECTORIES ${prefix}/include)
endfunction()

set(module_uring liburing)
set(module_hiredis hiredis)
set(module_jwt libjwt)
string(REPLACE "\n" ";" dependencies "${dependencies}")
foreach(dependency IN LISTS dependencies)
    if(NOT dependency MATCHES "^([a-z]+) ([^ ]+) (.*)$")
        message(FATAL_ERROR "dependencies.sh said: ${dependency}")
    endif()
    set(name ${CMAKE_MATCH_1})
    if(CMAKE_MATCH_2 STREQUAL "system")
        limpet_system(${name} ${module_${name}})
    else()
        message(STATUS "${name}: ${CMAKE_MATCH_2}, ${CMAKE_MATCH_3}")
        limpet_built(${name} ${CMAKE_MATCH_2})
        set(built_${name} ON)
    endif()
endforeach()

limpet_system(jansson jansson)
limpet_system(microhttpd libmicrohttpd)
limpet_system(curl libcurl)
limpet_system(yaml yaml-0.1)
limpet_system(zlib zlib)
limpet_system(systemd libsystemd)
limpet_system(cmocka cmocka)
limpet_system(crypto libcrypto)
limpet_system(openssl openssl)

if(built_jwt)
    target_compile_definitions(limpet::jwt INTERFACE JWT_STATIC_DEFINE)
    target_link_libraries(limpet::jwt INTERFACE limpet::jansson limpet::crypto)
endif()
target_compile_definitions(limpet::wolfssl INTERFACE WOLFSSL_USER_SETTINGS WOLFSSL_X86_64_BUILD)
target_link_libraries(limpet::wolfssl INTERFACE m Threads::Threads)
