# Sees to what is left of a program's `claude` processes: see orphans.rs. Written for any POSIX shell.
#
# $1  what these processes, and all that they have started, carry in their environment
# $2  how long they have to end by themselves when the program is gone, in tenths of a second
# $3  the CLI's directory of sessions
# $4  where the processes have directories of their own, which have the mark in their names
#
# Standard input says which of them were killed, a line each. It ends with the program, however that ends.

unset TOWER_CLAUDE_ORPHANS
# A terminal's signals are for the program.
trap '' HUP INT TERM
cd /
mark=$1 tenths=$2 sessions=$3 temporary=$4
# What tells this machine's processes from others of the same ids. Empty on macOS.
namespace=$(readlink /proc/self/ns/pid)

# The ids of all that carry the mark. `ps -E` is for macOS.
marked() {
    if [ -d /proc/self ]; then
        for found in $(grep -l -F -e "$mark" /proc/[0-9]*/environ); do
            found=${found%/environ}
            echo "${found#/proc/}"
        done
    else
        # The blank in the brackets keeps grep from finding itself.
        ps -A -E -ww -o pid= -o command= | grep -e "TOWER_CLAUDE_POOL=[^ ]*$mark" | while read -r pid rest; do
            echo "$pid"
        done
    fi
}

# Removes the files by which others would know a process that was killed (2.1.328), if they are of this machine's process.
# Where many conversations begin, that many processes are killed, so this starts no program but one.
forget() {
    pid=$1 file=$sessions/$1.json text=
    [ -f "$file" ] || return
    while IFS= read -r line || [ -n "$line" ]; do
        text=$text$line
    done <"$file"
    case $text in *"$namespace"*) ;; *) return ;; esac
    set -- "$file" "$sessions/$pid".*.key
    socket=${text##*'"messagingSocketPath":"'}
    socket=${socket%%'"'*}
    case $socket in */"$pid.sock") set -- "$@" "$socket" ;; esac
    rm -f "$@"
}

# Whether a process runs. One that is dead does not, though it has its id until its parent has asked what became of it, which a
# program that ends does not do.
runs() {
    kill -0 "$1" || return
    # Its state stands behind its name, which is in parentheses. macOS has no such file.
    read -r stat <"/proc/$1/stat" || return 0
    case ${stat##*')'} in ' Z'*) return 1 ;; esac
}

pause() {
    sleep 0.1 || sleep 1
}

# A background job's own standard input would be empty.
exec 3<&0
{
    # One that still dies is told of again when it is dead, unless the program ends before.
    dying=' '
    while read -r killed; do
        if runs "$killed"; then
            dying="$dying$killed "
            continue
        fi
        case $dying in *" $killed "*) dying="${dying%%" $killed "*} ${dying#*" $killed "}" ;; esac
        forget "$killed"
    done
    for killed in $dying; do
        tries=50
        while [ "$tries" -gt 0 ] && runs "$killed"; do
            tries=$((tries - 1))
            pause
        done
        forget "$killed"
    done

    while [ "$tenths" -gt 0 ] && [ -n "$(marked)" ]; do
        tenths=$((tenths - 1))
        pause
    done
    rounds=50
    while left=$(marked) && [ -n "$left" ] && [ "$rounds" -gt 0 ]; do
        rounds=$((rounds - 1))
        # All are stopped before any is killed: a shell goes on to its next command when the one before it has ended.
        stopped=
        while [ "$left" != "$stopped" ]; do
            kill -STOP $left
            stopped=$left
            left=$(marked)
        done
        kill -KILL $stopped
        for killed in $stopped; do
            forget "$killed"
        done
        pause
    done
    # Those that were dead before anybody could say so are known by the directory they were in, or have their ids in one.
    grep -l -F -e "/tower-claude-own-$mark-" "$sessions"/*.json | while read -r file; do
        file=${file##*/}
        forget "${file%.json}"
    done
    for file in "$temporary/tower-claude-own-$mark-"*/pid; do
        read -r killed <"$file" && ! runs "$killed" && forget "$killed"
    done
    # A program that was killed leaves these, and the directory in which they worked, unless others of this user do.
    set -- "$temporary/tower-claude-own-$mark-"*
    if [ -e "$1" ]; then
        rm -rf "$@"
        set -- "$temporary"/tower-claude-own-*
        [ -e "$1" ] || rmdir "$temporary/tower-claude-$(id -u)"
    fi
} <&3 3<&- >/dev/null 2>&1 &
