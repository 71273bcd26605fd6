#!/bin/sh
# Installs what the fault tests call and this machine has not. Where that cannot be done the tests
# that need it are skipped, and say so.
set -u

missing=""
for tool in strace:strace faketime:faketime prlimit:util-linux mount:mount \
    nats-server:nats-server redis-server:redis-server rabbitmq-server:rabbitmq-server mariadbd:mariadb-server \
    dockerd:docker.io iptables:iptables mmdebstrap:mmdebstrap strip:binutils nginx:nginx-light; do
    command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool##*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, some tests will be skipped:$missing" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # each word is a package
apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    echo "could not be installed, some tests will be skipped:$missing" >&2
