#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A first walk through casevault with an invented case register: a vault is made, filled, asked, checked and attacked.
# Everything happens in a folder of its own that is removed at the end. Needs only the built command.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
casevault=${CASEVAULT_COMMAND:-$here/../build/bin/casevault}
register=$here/data/registry_vn_small.csv
casevault=$(realpath "$casevault")

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
umask 077
export XDG_STATE_HOME=$place/state  # where anchors are kept: not in your home for this demonstration
export CASEVAULT_VAULT=$place/vault # what --vault would say each time

say() { printf '%s\n' "$*"; }
fail() {
  printf 'demo: FAILED: %s\n' "$*" >&2
  exit 1
}
# expect CODE COMMAND...: runs the command and insists on its exit code; what it prints is in $answer.
expect() {
  local wanted=$1 got=0
  shift
  answer=$("$@" 2>&1) || got=$?
  [ "$got" = "$wanted" ] || fail "exit $got instead of $wanted from: $* ($answer)"
}
# flip FILE OFFSET: changes one bit of one byte.
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
  printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# 1. A vault is a folder. Its owner gets an identity that a passphrase opens; passphrases come from a prompt or a file,
#    never from the command line.
printf 'six plain words nobody would guess\n' >owner.pass
ask=(--passphrase-file owner.pass --no-input)
expect 0 "$casevault" init vault --name owner "${ask[@]}"
sed -n 's/^log key: *//p' <<<"$answer" >log.key
[ -s log.key ] || fail "init printed no log key"
say "1. A vault is made; with its log's public key ($(cut -c1-24 log.key)...) anybody can check receipts later."

# 2. The register goes in, all rows or none.
expect 0 "$casevault" import person "$register" --ids-out ids.txt "${ask[@]}"
say "2. $answer."

# 3. Purposes decide. The owner holds every key, and still no name leaves for statistics; the refusal is in the log.
person=$(head -n 1 ids.txt)
expect 4 "$casevault" disclose "$person" --fields full_name --purpose statistics --basis state_agency_duty \
  --to "Tổng cục Thống kê" "${ask[@]}"
say "3. Refused, as it must be: $answer"

# 4. For a purpose that admits them, two fields go to a named agency. The log entry was on disk before the values were shown,
#    and the receipt proves the entry.
expect 0 "$casevault" disclose "$person" --fields full_name,dob --purpose interagency_exchange --basis state_agency_duty \
  --to "Công an tỉnh Hòa Bình" --to-class police --receipt receipt.txt "${ask[@]}"
grep -qF "Vì Thị Hoa" <<<"$answer" || fail "the disclosed name is not the first of the register"
say "4. Disclosed two fields of one person, with a receipt: $(tr -s '\n ' ' ' <<<"$answer")"

# 5. Whoever takes the files learns nothing of the register.
for value in "Vì Thị Hoa" "Lương Văn Dũng" "0920 003 052" "089097917222" "HS-2019-0124" "xã Lạc Thịnh" "under_identification"; do
  grep -qF "$value" "$register" || fail "$value is not in the register; nothing would be proved"
  if grep -rqaF "$value" vault state; then fail "$value stands in the files of the vault in clear"; fi
done
say "5. Names, numbers, places and codes of the register: none of them stands in the vault's files."

# 6. The log is a tree of signed entries; checking it recomputes all of it.
expect 0 "$casevault" audit verify "${ask[@]}"
say "6. The log verifies: $answer"

# 7. The agency checks the receipt with the log's public key alone: no vault, no identity, no passphrase.
mkdir elsewhere
cp receipt.txt log.key elsewhere/
expect 0 env -u CASEVAULT_VAULT -C elsewhere "$casevault" receipt verify receipt.txt --log-key log.key
say "7. The receipt verifies without the vault: $answer"

# 8. One changed bit in the log is found and named.
cp -a vault tampered-log
segment=$(find tampered-log/log -type f -printf '%s %p\n' | sort -rn | head -n 1 | cut -d' ' -f2-)
written=$(LC_ALL=C grep -obUaP '[^\x00]' "$segment" | tail -n 1 | cut -d: -f1) # behind it the file is reserved space
flip "$segment" $((written / 2))
expect 8 "$casevault" --vault tampered-log audit verify "${ask[@]}"
say "8. A copy with one changed bit in its log: $answer"

# 9. So is one in the records: they are sealed to their place, and no altered value is ever shown.
cp -a vault tampered-data
flip tampered-data/data.mdb $(($(stat -c %s vault/data.mdb) / 2 / 4096 * 4096 + 512))
mapfile -t everybody <ids.txt
all_fields=$(head -n 1 "$register" | tr -d '\r')
expect 8 "$casevault" --vault tampered-data disclose "${everybody[@]}" --fields "$all_fields" --purpose subject_rights \
  --basis subject_request --to "Chủ thể dữ liệu" "${ask[@]}"
if grep -qF "full_name: " <<<"$answer"; then fail "values were shown although a record was altered"; fi
say "9. A copy with one changed bit in its records: $answer"

say "demo: all steps passed"
