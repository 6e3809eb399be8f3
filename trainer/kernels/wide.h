// Hot loops are compiled twice, for AVX2 and for AVX-512, and the machine picks at start.
#pragma once
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(LACUNA_SANITIZED)
#define LACUNA_WIDE __attribute__((target_clones("arch=x86-64-v4", "default")))
#else
#define LACUNA_WIDE
#endif
