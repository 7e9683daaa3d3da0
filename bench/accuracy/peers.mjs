// Figures of other programs, quoted: KL divergence to the unquantized model, with their importance matrix. They were measured
// for this project beside the pilot of its method, on the same text and windows, on a copy of the model padded to a width of 768, which
// their 256-wide blocks need (the same function; padding not counted).

export const peers = [
  {
    model: /^SmolLM2-135M/,
    text: 'wikitext2-test.txt',
    windows: 48,
    source:
      'llama.cpp and ik_llama.cpp, nearest types, importance matrix from wikitext2-valid.txt; at 4 bits and above to the off-grid reference',
    figures: [
      { program: 'ik_llama.cpp', type: 'IQ2_KT', bits: 2.13, divergence: 1.333 },
      { program: 'llama.cpp', type: 'IQ2_S', bits: 2.56, divergence: 2.06 },
      { program: 'llama.cpp', type: 'IQ3_XXS', bits: 3.06, divergence: 0.581 },
      { program: 'ik_llama.cpp', type: 'IQ3_KT', bits: 3.13, divergence: 0.247 },
      { program: 'llama.cpp', type: 'Q3_K', bits: 3.44, divergence: 0.407 },
      { program: 'llama.cpp', type: 'IQ3_S', bits: 3.44, divergence: 0.337 },
      { program: 'ik_llama.cpp', type: 'IQ4_KT', bits: 4.01, divergence: 0.093 },
      { program: 'llama.cpp', type: 'IQ4_XS', bits: 4.25, divergence: 0.123 },
      { program: 'llama.cpp', type: 'Q4_K', bits: 4.5, divergence: 0.084 },
    ],
  },
]
