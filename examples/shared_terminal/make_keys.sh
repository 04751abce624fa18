#!/bin/sh
# The authority of a site, and a certificate for each station that it is called for. "payment-master" is the station with
# the terminal, the other names are those of [payment.master.satellites].
#   sh make_keys.sh FOLDER payment-master east west
set -eu
folder=$1
shift
mkdir -p "$folder"
cd "$folder"
umask 077
ec="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
[ -e ca.pem ] || openssl req -x509 $ec -days 3650 -keyout ca.key -out ca.pem -subj "/CN=Stations of one site" 2>/dev/null
for name in "$@"; do
    openssl req $ec -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" -addext "subjectAltName=DNS:$name" 2>/dev/null
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -copy_extensions copy \
        -out "$name.pem" 2>/dev/null
    rm "$name.csr"
done
