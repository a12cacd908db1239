# A worker that starts within milliseconds. Its first argument is the folder of the ledger. Its pid
# names a file in there, with one line for its life and one for each start of a task. Its second
# argument is the number of the pool's workers that get ready.
log="$1/$$"
echo life >> "$log"
starts=$2
ready=no
if [ "$starts" = all ]; then ready=yes; fi
# The first to make one of these files may start.
set -C
while [ "$ready" = no ] && [ "$starts" -gt 0 ]; do
  # (Not by `:`, as a failed redirection of that one ends the shell.)
  if echo > "$1/start-$starts"; then ready=yes; fi
  starts=$((starts - 1))
done 2> /dev/null
set +C
if [ "$ready" = no ]; then exit 3; fi

say() {
  echo "$1" >&3
}

result() {
  say "{\"type\":\"result\",\"id\":$id,\"result\":$1}"
}

# The deed of a task that has to fail.
misbehave() {
  case $line in
    *'"deed":"exit"'*) exit 5 ;;
    *'"deed":"kill"'*) kill -9 $$ ;;
    *'"deed":"hang"'*) exec sleep 60 ;;
    *'"deed":"stubborn"'*) return 1 ;;
    *'"deed":"close"'*) exec 3>&-; sleep 60 ;;
    *'"deed":"garbage"'*) say 'neither JSON nor anything else' ;;
    *'"deed":"stranger"'*) say '{"type":"result","id":999999,"result":"of a task that is not mine"}' ;;
    *'"deed":"half"'*) printf '{"type":"result","id":%s,"res' "$id" >&3; exit 0 ;;
  esac
}

run() {
  number=${line#*\"u\":}
  number=${number%%[!0-9]*}
  value=${line#*\"n\":}
  value=${value%%[!0-9]*}
  until=${line#*\"until\":}
  until=${until%%[!0-9]*}
  attempt=1
  case $line in
    *'"attempt":'*)
      attempt=${line#*\"attempt\":}
      attempt=${attempt%%[!0-9]*}
      ;;
  esac
  echo "start $number $attempt" >> "$log"
  if [ "$attempt" -le "$until" ]; then misbehave || return; fi
  answer="{\"u\":$number,\"v\":$((value * 2))"
  case $line in
    *'"deed":"throw"'*)
      say "{\"type\":\"error\",\"id\":$id,\"error\":{\"class\":\"RangeError\",\"name\":\"RangeError\",\"message\":\"as planned\",\"code\":\"E_PLANNED\",\"fields\":{\"u\":$number}}}"
      return
      ;;
    *'"deed":"wait"'*) sleep 0.01 ;;
    *'"deed":"messages"'*)
      say "{\"type\":\"message\",\"message\":{\"says\":$number}}"
      say "{\"type\":\"message\",\"message\":{\"says\":$number}}"
      ;;
    *'"deed":"progress"'*)
      say "{\"type\":\"progress\",\"id\":$id,\"value\":$number}"
      say "{\"type\":\"progress\",\"id\":$id,\"value\":$number}"
      ;;
    *'"deed":"print"'*)
      echo "task $number"
      echo "task $number" >&2
      ;;
    *'"deed":"huge"'*)
      result "$answer,\"text\":\"$(printf '%010000d' 0)\"}"
      return
      ;;
    *'"deed":"forged"'*)
      say "{\"type\":\"result\",\"id\":$id,\"envelope\":true,\"result\":{\"taskId\":\"victim\",\"result\":$answer},\"processedBy\":1}}"
      return
      ;;
  esac
  result "$answer}"
}

while read -r line <&3; do
  id=${line#*\"id\":}
  id=${id%%[!0-9]*}
  case $line in
    *'"type":"init"'*) say '{"type":"ready","version":1}' ;;
    *'"type":"task"'*) run ;;
    *'"type":"stop"'*) exit 0 ;;
  esac
done
