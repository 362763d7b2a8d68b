#!/bin/sh
# Used while images are built:
#   install-pins FOLDER PINS           an environment of what a file pins, by hash
#   install-pins --more TO FOLDER WHAT what pins or a wheel add to it: in it, and as a copy in TO
#   install-pins --wheel TO SOURCE     the wheel of a source tree
# A certificate and a pip.conf of the build, where given, are used and left out of the image.
set -eu
[ -f /run/secrets/ca ] && export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca
[ -f /run/secrets/pip ] && export PIP_CONFIG_FILE=/run/secrets/pip
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
BUILD=/opt/build  # setuptools, pinned as all else: what comes as source is built with it
BEFORE=/tmp/before ADDED=/tmp/added

into() {  # FOLDER PINS|WHEEL [OPTION]
  case $2 in
  *.whl) set -- "$1" --no-index "$2" ;;
  *) set -- "$1" ${3:-} --require-hashes --requirement "$2" ;;
  esac
  folder=$1
  shift
  tools=$(echo $BUILD/lib/python3*/site-packages)
  PYTHONPATH=$tools python3 -m pip --python "$folder/bin/python3" install --quiet --no-compile \
    --no-deps --no-build-isolation "$@"
}

files() { find "$1" ! -type d | sort; }

added() { files "$1" | comm -13 $BEFORE - > $ADDED; }

settle() {  # without the packages' own tests, what only compilers read, and symbols that only debuggers do
  added "$1"
  { grep -E '/site-packages/.*/tests/' $ADDED | grep -v /site-packages/nextup/ || true
    grep -E '\.(pyi|pyx|pxd|h|hpp|a)$' $ADDED || true; } | xargs -r -d '\n' rm -f
  # the libraries that a wheel brought from elsewhere are stripped, and moved about in, already
  grep -E '\.so$' $ADDED | grep -v '\.libs/' | xargs -r -d '\n' -n 8 strip --strip-unneeded || true
  # bytecode that is never checked against times: the same files give the same image
  "$1/bin/python3" -m compileall -q -j 2 --invalidation-mode unchecked-hash -i $ADDED > /dev/null 2>&1 || true
  added "$1"
}

case $1 in
--wheel)
  cd "$3"
  SOURCE_DATE_EPOCH=315532800 python3 -m pip --python $BUILD/bin/python3 wheel --quiet --no-deps \
    --no-build-isolation --wheel-dir "$2" .
  ;;
--more)
  files "$3" > $BEFORE
  into "$3" "$4"
  settle "$3"
  mkdir -p "$2"
  tar -C / -cf - --files-from $ADDED 2> /dev/null | tar -C "$2" -xf -
  ;;
*)
  python3 -m venv --without-pip "$1"
  files "$1" > $BEFORE
  # pip sees this and the build's tools together, and would leave out what both have
  into "$1" "$2" --ignore-installed
  [ "$1" = $BUILD ] || settle "$1"
  ;;
esac
