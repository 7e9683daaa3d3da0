#define PYRAMIDION_FLOATS floats_avx2
#include "cpu/floats/table.inc.h"
