# `cmake --install` and the Debian package (`./dev package`): the unit, its user and folders, manual pages, profiles.
include(GNUInstallDirs)

# systemd has notify-reload since 253 (Debian 12 has 252). Its signal cannot tell of a refusal: ExecReload does that, and
# the signal that goes out with it is one that a running process does not feel.
if(systemd_VERSION VERSION_GREATER_EQUAL 253)
    set(LIMPET_SERVICE_TYPE "Type=notify-reload\nReloadSignal=SIGCONT")
else()
    set(LIMPET_SERVICE_TYPE Type=notify)
endif()
configure_file(tuning/systemd/limpet.service.in limpet.service @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/limpet.service DESTINATION lib/systemd/system)
install(FILES tuning/systemd/limpet.sysusers DESTINATION lib/sysusers.d RENAME limpet.conf)
install(FILES tuning/systemd/limpet.tmpfiles DESTINATION lib/tmpfiles.d RENAME limpet.conf)
install(DIRECTORY deploy/ DESTINATION share/limpet/deploy)
file(GLOB profiles CONFIGURE_DEPENDS sysctl.d/*.conf)
install(FILES ${profiles} DESTINATION share/limpet/sysctl.d)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md BENCHMARKS.md SECURITY.md tuning/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Options that somebody wrote stay as they are.
set(options_directory ${CMAKE_INSTALL_FULL_SYSCONFDIR}/limpet)
install(CODE "
    if(NOT EXISTS \"\$ENV{DESTDIR}${options_directory}/limpet.yaml\")
        file(INSTALL DESTINATION \"${options_directory}\" TYPE FILE FILES \"${PROJECT_SOURCE_DIR}/tuning/limpet.yaml\")
    endif()")

# Manual pages; limpet.yaml(5) ends with the program's own list of options.
set(options_page ${PROJECT_BINARY_DIR}/man/limpet.yaml.5)
add_custom_command(
    OUTPUT ${options_page}
    COMMAND ${PROJECT_SOURCE_DIR}/man/options.sh $<TARGET_FILE:limpet> ${PROJECT_SOURCE_DIR}/man/limpet.yaml.5 ${options_page}
    DEPENDS limpet man/options.sh man/limpet.yaml.5)
set(pages "")
foreach(page limpet.8 limpet-tune.8 limpet-bench.1 limpet.yaml.5)
    set(source ${PROJECT_SOURCE_DIR}/man/${page})
    if(page STREQUAL limpet.yaml.5)
        set(source ${options_page})
    endif()
    set(zipped ${PROJECT_BINARY_DIR}/man/${page}.gz)
    add_custom_command(OUTPUT ${zipped} COMMAND gzip -9nc ${source} >${zipped} DEPENDS ${source})
    list(APPEND pages ${zipped})
    string(REGEX REPLACE ".*\\." "man" section ${page})
    install(FILES ${zipped} DESTINATION ${CMAKE_INSTALL_MANDIR}/${section})
endforeach()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/man)
add_custom_target(manual ALL DEPENDS ${pages})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR Limpet)
set(CPACK_PACKAGE_CONTACT "Limpet's maintainers <limpet@localhost>")
set(CPACK_PACKAGE_DESCRIPTION
    "Holds hundreds of thousands to millions of mostly idle wss://
connections on one host, checks a JWT at the door, keeps connections
alive with heartbeats, and delivers messages published by clients, over
HTTP or through Redis. With limpet-bench, its load tool, and
limpet-tune, which says what a host must be set to.")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Both are part of systemd; in a container the standalone programs do.
set(CPACK_DEBIAN_PACKAGE_DEPENDS
    "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/tuning/debian/conffiles ${PROJECT_SOURCE_DIR}/tuning/debian/postinst
    ${PROJECT_SOURCE_DIR}/tuning/debian/prerm ${PROJECT_SOURCE_DIR}/tuning/debian/postrm)
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
include(CPack)
