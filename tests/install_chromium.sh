#!/bin/sh
# Browser tests drive Debian's Chromium. Install it where that is possible; elsewhere those tests are skipped by name.
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium for the browser tests ..."
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null && exit 0
fi
echo "No Chromium here: the browser tests will be skipped. Install it with: apt-get install chromium"
