{
  # The same addon for those who build with node-gyp; CMakeLists.txt is the build that is tested,
  // and the one that embeds CUDA kernels.
  "variables": {
    "core_sources": ["<!@(node -p \"require('fs').readdirSync('native', { recursive: true }).filter(f => /^(core|cpu|cuda|addon).*\\.cc$/.test(f) && !/(avx2|avx512|avx512_vbmi|neon|neon_dot)\\.cc$/.test(f)).map(f => 'native/' + f).join(' ')\")"],
    "avx2_sources": ["<!@(node -p \"require('fs').readdirSync('native', { recursive: true }).filter(f => /avx2\\.cc$/.test(f)).map(f => 'native/' + f).join(' ')\")"],
    "avx512_sources": ["<!@(node -p \"require('fs').readdirSync('native', { recursive: true }).filter(f => /avx512\\.cc$/.test(f)).map(f => 'native/' + f).join(' ')\")"],
    "avx512_vbmi_sources": ["<!@(node -p \"require('fs').readdirSync('native', { recursive: true }).filter(f => /avx512_vbmi\\.cc$/.test(f)).map(f => 'native/' + f).join(' ')\")"],
    "neon_sources": ["<!@(node -p \"require('fs').readdirSync('native', { recursive: true }).filter(f => /neon\\.cc$/.test(f)).map(f => 'native/' + f).join(' ')\")"],
    "neon_dot_sources": ["<!@(node -p \"require('fs').readdirSync('native', { recursive: true }).filter(f => /neon_dot\\.cc$/.test(f)).map(f => 'native/' + f).join(' ')\")"]
  },
  "target_defaults": {
    "defines": ["NAPI_VERSION=8", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
    "include_dirs": ["native"],
    "cflags!": ["-O2", "-Wextra"],
    "cflags_cc": ["-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"]
  },
  "targets": [
    {
      "target_name": "pyramidion",
      "sources": ["<@(core_sources)"],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except_all"],
      "conditions": [
        ["target_arch=='x64'", { "dependencies": ["pyramidion_avx2", "pyramidion_avx512", "pyramidion_avx512_vbmi"] }],
        ["target_arch=='arm64'", { "dependencies": ["pyramidion_neon", "pyramidion_neon_dot"] }],
        ["OS=='linux'", { "ldflags": ["-Wl,-z,nodelete", "-Wl,--gc-sections"], "libraries": ["-ldl"] }]
      ]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "pyramidion_avx2",
          "type": "static_library",
          "sources": ["<@(avx2_sources)"],
          "cflags_cc": ["-mavx2", "-mfma", "-mf16c", "-mbmi2"]
        },
        {
          "target_name": "pyramidion_avx512",
          "type": "static_library",
          "sources": ["<@(avx512_sources)"],
          "cflags_cc": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mfma", "-mf16c", "-mbmi2"]
        },
        {
          "target_name": "pyramidion_avx512_vbmi",
          "type": "static_library",
          "sources": ["<@(avx512_vbmi_sources)"],
          "cflags_cc": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512vbmi", "-mfma", "-mf16c", "-mbmi2"]
        }
      ]
    }],
    ["target_arch=='arm64'", {
      "targets": [
        { "target_name": "pyramidion_neon", "type": "static_library", "sources": ["<@(neon_sources)"] },
        {
          "target_name": "pyramidion_neon_dot",
          "type": "static_library",
          "sources": ["<@(neon_dot_sources)"],
          "cflags_cc": ["-march=armv8.2-a+dotprod"]
        }
      ]
    }]
  ]
}
