"""The ONNX graph: conversion from Keras, quantization, the ensemble, calibration."""
