# shellcheck shell=bash
# progress.sh - for the project's scripts, which source it: a long command writes to a log, and a line shows that it lives.

# Every second on a terminal, every fifteen seconds elsewhere: the seconds so far and the log's last line.
progress_watch() {
    local log=$1 start=$SECONDS last pause=15
    [ ! -t 1 ] || pause=1
    while sleep $pause >/dev/null 2>&1; do
        last=$(tail -c 400 "$log" 2>/dev/null | tr '\r' '\n' | grep -a . | tail -n 1 | tr -cd '[:print:]')
        if [ -t 1 ]; then
            printf '\r   %d s  %.90s\033[K' $((SECONDS - start)) "$last"
        else
            printf '   %d s  %.90s\n' $((SECONDS - start)) "$last"
        fi
    done
}

# with_progress LOG COMMAND ...: runs the command in this shell, its output in the log, and returns its status.
with_progress() {
    local log=$1 status=0 watcher
    shift
    mkdir -p "$(dirname "$log")"
    : >"$log"
    progress_watch "$log" &
    watcher=$!
    "$@" >"$log" 2>&1 </dev/null || status=$?
    kill $watcher 2>/dev/null && wait $watcher 2>/dev/null
    [ ! -t 1 ] || printf '\r\033[K'
    return $status
}
