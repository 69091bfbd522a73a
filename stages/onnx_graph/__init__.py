"""The ONNX graph: conversion from Keras, quantization, calibration."""
