#include "nvcc.cuh"
#include "training.cuh"
