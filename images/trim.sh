#!/bin/sh
# Takes out of an environment what its programs never open, and compiles the rest, since nothing is written at run time:
# trim.sh ENVIRONMENT
set -eu
cd "$1"/lib/python3*/site-packages

find . -name __pycache__ -prune -exec rm -rf {} +
find . -type d -name tests -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.a' -o -name '*.h' -o -name '*.hpp' -o -name '*.cuh' \) -delete

# The library for C programs, beside the same in Python's module; tools that make models.
rm -rf onnxruntime/capi/libonnxruntime.so* onnxruntime/datasets onnxruntime/quantization onnxruntime/tools onnxruntime/transformers
# The interface for interpreters other than CPython.
rm -f zstandard/_cffi.*.so
# The client for asyncio, beside the one that is used.
rm -rf kubernetes/aio
# Programs that try and build C++; what is left there passes tensors between processes.
rm -rf torch/test torch/bin/protoc* torch/bin/test_* torch/bin/*Test torch/lib/*_test.so
# Compilers of extensions; the one of Fortran is looked at by all that takes every name of numpy, as SciPy does.
rm -rf numpy/distutils
# A format of pictures that nothing here reads.
rm -f PIL/_avif.*.so pillow.libs/libavif-*

# Some packages carry templates that are no Python yet.
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash . || true
