#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches SQLCipher's amalgamation by npm and builds FOLDER/libsqlcipher.so with OpenSSL, unless it is there already.
# Usage: sqlcipher.sh FOLDER
set -euo pipefail

# Pinned, so that what is compared with stays the same.
version=4.5.5
sha512=Ebi6aNWlh5qr2fWGaHVvahCBRZtbs63hStQmUOIA8zhfiJT3S0ZgQ0Oby0Pwh12DWP2uRs03am1LFuxgcdegoQ==
library=libsqlcipher.so

mkdir -p "$1"
cd "$1"
[[ -f $library && $(cat built 2>/dev/null) == "$sha512" ]] && exit 0
rm -rf package ./*.tgz
archive=$(npm pack --silent "@commapp/sqlcipher-amalgamation@$version" | tail -n 1)
[[ $(openssl dgst -sha512 -binary "$archive" | base64 -w 0) == "$sha512" ]] || {
  echo "sqlcipher.sh: $archive is not the one that is pinned" >&2
  exit 1
}
tar -xzf "$archive"
cc -shared -fPIC -O2 -DNDEBUG -DSQLITE_HAS_CODEC -DSQLCIPHER_CRYPTO_OPENSSL -DSQLITE_TEMP_STORE=2 -DSQLITE_THREADSAFE=2 \
  package/src/sqlite3.c -o "$library" -lcrypto
echo "$sha512" >built
