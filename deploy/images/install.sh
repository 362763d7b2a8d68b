#!/bin/sh
# Used while images are built:
#   install-pins FOLDER PINS        an environment of what a file pins, by hash; one that is there gets more
#   install-pins --wheel TO SOURCE  the wheel of a source tree
#   install-pins --add FOLDER WHEEL a wheel whose needs are there already
# A certificate and a pip.conf of the build, where given, are used and left out of the image.
set -eu
[ -f /run/secrets/ca ] && export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca
[ -f /run/secrets/pip ] && export PIP_CONFIG_FILE=/run/secrets/pip
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
BUILD=/opt/build  # setuptools, pinned as all else: what comes as source is built with it

into() {
  folder=$1
  shift
  tools=$(echo $BUILD/lib/python3*/site-packages)
  PYTHONPATH=$tools python3 -m pip --python "$folder/bin/python3" install --quiet --no-compile \
    --no-deps --no-build-isolation "$@"
}

settle() {  # without the packages' own tests, a tenth of all; and with bytecode that is never
  # checked against times: the same files give the same image
  find "$1"/lib/python3*/site-packages/[!n]* "$1"/lib/python3*/site-packages/numpy -depth -type d -name tests \
    -exec rm -rf {} + 2> /dev/null || true
  "$1/bin/python3" -m compileall -q -j 2 --invalidation-mode unchecked-hash "$1/lib" > /dev/null || true
}

case $1 in
--wheel)
  cd "$3"
  SOURCE_DATE_EPOCH=315532800 python3 -m pip --python $BUILD/bin/python3 wheel --quiet --no-deps \
    --no-build-isolation --wheel-dir "$2" .
  ;;
--add)
  into "$2" --no-index "$3"
  settle "$2"
  ;;
*)
  [ -e "$1" ] || python3 -m venv --without-pip "$1"
  into "$1" --require-hashes --requirement "$2"
  [ "$1" = $BUILD ] || settle "$1"
  ;;
esac
