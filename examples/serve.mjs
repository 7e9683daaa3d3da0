// Serves a model over HTTP, streaming: POST a prompt, read the text as it is generated. A reader that goes away stops it.
//
//   node examples/serve.mjs MODEL [port]
//   curl -N -d 'Once upon a time' http://localhost:8080
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { loadModel } from 'pyramidion'

const model = await loadModel(process.argv[2])
const server = createServer(async (request, response) => {
  const left = new AbortController()
  response.on('close', () => left.abort())
  try {
    const prompt = await text(request)
    for await (const piece of model.generate(prompt, { maxTokens: 200, signal: left.signal })) response.write(piece)
  } catch (error) {
    if (!response.headersSent) response.writeHead(error.code === 'INVALID_ARGUMENT' ? 400 : 500)
    if (!left.signal.aborted) response.write(`${error.message}\n`)
  }
  response.end()
})
server.listen(Number(process.argv[3] ?? 8080), () => console.log(`listening on port ${server.address().port}`))
