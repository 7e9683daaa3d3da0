// Builds safetensors files byte by byte, independently of the library's writer, so that tests can break them at will.

export function safetensorsBytes(header: unknown, data: Uint8Array): Uint8Array {
  return withHeaderText(typeof header === 'string' ? header : JSON.stringify(header), data)
}

export function withHeaderText(text: string, data: Uint8Array): Uint8Array {
  const encoded = new TextEncoder().encode(text)
  const bytes = new Uint8Array(8 + encoded.length + data.length)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(encoded.length), true)
  bytes.set(encoded, 8)
  bytes.set(data, 8 + encoded.length)
  return bytes
}
