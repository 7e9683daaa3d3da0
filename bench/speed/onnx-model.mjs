// A model of one node, y = x W^T, in ONNX's protocol buffers (onnx.proto, IR version 8), with random weights.
import { randomFillSync } from 'node:crypto'
import { gaussians } from './random-weights.mjs'

const BLOCK = 32
const FLOAT = 1
const UINT8 = 2

/** `bits`: 4 or 8 for MatMulNBits, 32 for MatMul. */
export function linearModel(rows, columns, bits) {
  const initializers = bits === 32 ? floatWeights(rows, columns) : blockWeights(rows, columns, bits)
  const node =
    bits === 32
      ? operator('MatMul', ['x', 'w'], {})
      : operator('MatMulNBits', ['x', 'w', 'scales'], {
          K: columns,
          N: rows,
          bits,
          block_size: BLOCK,
          accuracy_level: 4,
        })
  const graph = message(
    [1, node],
    [2, 'linear'],
    ...initializers.map(tensor => [5, tensor.encoded]),
    [11, value('x', columns)],
    [12, value('y', rows)],
  )
  const operators = [message([1, ''], [2, 17]), message([1, 'com.microsoft'], [2, 1])]
  const model = message([1, 8], [7, graph], ...operators.map(set => [8, set]))
  return { model, weightBytes: initializers.reduce((sum, { bytes }) => sum + bytes, 0) }
}

function floatWeights(rows, columns) {
  const values = repeatedTile(gaussians(64 * columns, 3, 0.02), rows * columns)
  return [tensor('w', FLOAT, [columns, rows], new Uint8Array(values.buffer))]
}

function repeatedTile(tile, length) {
  const values = new Float32Array(length)
  for (let at = 0; at < length; at += tile.length) values.set(tile.subarray(0, Math.min(tile.length, length - at)), at)
  return values
}

function blockWeights(rows, columns, bits) {
  const blocks = columns / BLOCK
  const codes = randomFillSync(new Uint8Array((rows * columns * bits) / 8))
  const scales = new Float32Array(rows * blocks).fill(0.02 / 2 ** (bits - 2))
  return [
    tensor('w', UINT8, [rows, blocks, (BLOCK * bits) / 8], codes),
    tensor('scales', FLOAT, [rows * blocks], new Uint8Array(scales.buffer)),
  ]
}

/** TensorProto: dims, data_type, name, raw_data. */
function tensor(name, type, shape, bytes) {
  const encoded = message(...shape.map(size => [1, size]), [2, type], [8, name], [9, bytes])
  return { encoded, bytes: bytes.length }
}

/** NodeProto: input, output, name, op_type, attributes of whole numbers, domain. */
function operator(type, inputs, attributes) {
  const INTEGER = 2
  return message(
    ...inputs.map(input => [1, input]),
    [2, 'y'],
    [3, 'product'],
    [4, type],
    ...Object.entries(attributes).map(([name, number]) => [5, message([1, name], [3, number], [20, INTEGER])]),
    [7, type === 'MatMul' ? '' : 'com.microsoft'],
  )
}

/** ValueInfoProto of a float matrix, tokens x width. */
function value(name, width) {
  const shape = message([1, message([2, 'tokens'])], [1, message([1, width])])
  return message([1, name], [2, message([1, message([1, FLOAT], [2, shape])])])
}

/** Fields of a message, each [number, content]: whole numbers as varints, the rest with its length in front. */
function message(...fields) {
  return Buffer.concat(
    fields.flatMap(([number, content]) => {
      if (typeof content === 'number') return [varint(number << 3), varint(content)]
      const bytes = typeof content === 'string' ? Buffer.from(content) : content
      return [varint((number << 3) | 2), varint(bytes.length), bytes]
    }),
  )
}

function varint(number) {
  const bytes = []
  let rest = number
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  return Buffer.from([...bytes, rest])
}
