// doctest beside leon. Both have a macro named CHECK: leon's aborts on a bug, doctest's records a failed test.
//
// Include this after every header of leon: their inline functions must be compiled with leon's CHECK, and what follows
// here gets doctest's.
#pragma once

#include "kernels/check.h"

#undef CHECK
#include <doctest/doctest.h>
