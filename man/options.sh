#!/bin/sh
# options.sh LIMPET PAGE OUT: the manual page with what `limpet options` lists in place of its line @OPTIONS@.
set -eu
list=$("$1" options | sed -e 's/\\/\\e/g' | awk '{
    name = $1; value = $2; $1 = ""; $2 = ""; sub(/^ +/, "")
    printf ".It Cm %s Pq default: %s\n\\&%s.\n", name, value, $0
}')
list=$list awk '$0 == "@OPTIONS@" { print ENVIRON["list"]; next } { print }' "$2" >"$3"
