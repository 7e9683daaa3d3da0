// The report of a run: its data, and the page, parsed as a browser does and, where there is one, shown in Chromium.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type DefaultTreeAdapterTypes, parse } from 'parse5'
import { type QuantizeModelResult, quantizeModel } from '../../dist/index.js'
import type { QuantizationReport } from '../../dist/quantization/report.js'
import { reportPage } from '../../dist/quantization/report-page.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))

/** A report of `blocks` blocks with one projection; `layer` adds figures to each. */
function example(blocks: number, layer: (block: number) => object = () => ({})): QuantizationReport {
  return {
    format: 'pyramidion quantization report',
    version: 1,
    packageVersion: '1.2.3',
    date: '2030-01-02T03:04:05.678Z',
    model: { name: 'example', architecture: 'llama', parameters: 1e6 },
    settings: { bits: 3, rank: 'auto' },
    bitsPerWeight: 4.5,
    linearBitsPerWeight: 3,
    bytes: 1e6,
    weightBytes: 9e5,
    seconds: 3700,
    peakMemoryBytes: 1e8,
    layers: Array.from({ length: blocks }, (_, block) => ({
      name: `model.layers.${block}.mlp.up_proj.weight`,
      rows: 64,
      columns: 32,
      bitsPerWeight: 3 + block / 10,
      rank: 0,
      relativeSquaredError: 0.01 / (block + 1),
      seconds: 1.5,
      ...layer(block),
    })),
  }
}

type Element = DefaultTreeAdapterTypes.Element

/** Every element of a page, which must be without parse errors. */
function elements(html: string): Element[] {
  const errors: string[] = []
  const document = parse(html, { onParseError: ({ code, startLine }) => errors.push(`${code} in line ${startLine}`) })
  assert.deepEqual(errors, [])
  const found: Element[] = []
  const visit = (node: DefaultTreeAdapterTypes.ParentNode) => {
    for (const child of node.childNodes) {
      if (!('tagName' in child)) continue
      found.push(child)
      visit(child)
    }
  }
  visit(document)
  return found
}

const named = (html: string, tag: string) => elements(html).filter(({ tagName }) => tagName === tag)

function textOf(node: DefaultTreeAdapterTypes.ParentNode): string {
  return node.childNodes
    .map(child => ('value' in child ? child.value : 'childNodes' in child ? textOf(child) : ''))
    .join('')
}

const headings = (html: string) => named(html, 'h2').map(textOf)

/** The texts of the table's cells, a row each. */
function tableOf(html: string): string[][] {
  const rows = named(html, 'tr').slice(1)
  return rows.map(row => row.childNodes.flatMap(cell => ('tagName' in cell ? [textOf(cell)] : [])))
}

const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find(
  name => spawnSync(name, ['--version']).status === 0,
)

/** What Chromium makes of a page: the document after its scripts ran, and what was written to the console. */
function browse(html: string): { html: string; console: string[] } {
  const folder = temporaryFolder({ 'page.html': html })
  const run = spawnSync(
    chromium!,
    [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--enable-logging=stderr'],
      `--user-data-dir=${join(folder, 'profile')}`,
      '--dump-dom',
      pathToFileURL(join(folder, 'page.html')).href,
    ],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  )
  assert.equal(run.status, 0, run.stderr)
  return { html: run.stdout, console: run.stderr.split('\n').filter(line => line.includes('CONSOLE')) }
}

describe('the quantization report', () => {
  it('is written beside the model, holds what was returned, and is left out where it is not wanted', async () => {
    const folder = join(temporaryFolder(), 'quantized')
    const options = { bits: 3, embeddingBits: 6, output: folder }
    const result = await quantizeModel(tales, options)
    const report: QuantizationReport = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'))
    for (const key of ['bitsPerWeight', 'linearBitsPerWeight', 'bytes', 'layers'] as const) {
      assert.deepEqual(report[key], result[key], key)
    }
    assert.deepEqual(report.model, { name: 'tales', architecture: 'llama', parameters: 4_656_384 })
    assert.equal(report.settings.bits, 3)
    assert.equal(report.settings.quantizer, 'pvq')
    assert.ok(report.seconds > 0 && report.seconds <= result.seconds)
    assert.ok(result.layers.every(({ seconds }) => seconds > 0))

    const page = readFileSync(join(folder, 'report.html'), 'utf8')
    assert.equal(page, reportPage(report))
    const rows = tableOf(page)
    assert.deepEqual(
      rows.map(([name]) => `${name}.weight`),
      result.layers.map(({ name }) => name),
    )
    assert.ok(!page.includes(join(tales, '..')), 'no path of the machine')

    const plain = await quantizeModel(tales, { ...options, report: false, overwrite: true })
    assert.deepEqual(
      readdirSync(folder).filter(name => name.startsWith('report')),
      [],
    )
    assert.equal(plain.bytes, result.bytes)
  })

  it('keeps the times of layers that an interrupted run made', async () => {
    const folder = join(temporaryFolder(), 'quantized')
    const controller = new AbortController()
    const work = quantizeModel(tales, {
      bits: 3,
      output: folder,
      signal: controller.signal,
      onProgress: ({ done, total }) => done > total / 2 && controller.abort(),
    })
    await assert.rejects(work, { code: 'ABORTED' })
    const notes = readdirSync(join(`${folder}.partial`, 'weights')).flatMap(name => {
      const bytes = readFileSync(join(`${folder}.partial`, 'weights', name))
      const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString())
      const note = JSON.parse(header.__metadata__.note)
      return note?.name === undefined ? [] : [note as QuantizeModelResult['layers'][number]]
    })
    assert.ok(notes.length > 0)
    const result = await quantizeModel(tales, { bits: 3, output: folder })
    for (const note of notes) {
      assert.deepEqual(
        result.layers.find(({ name }) => name === note.name),
        note,
      )
    }
  })

  it('draws a chart of each figure over the blocks, with a tooltip at every point', () => {
    const page = reportPage(example(12))
    assert.deepEqual(headings(page), ['Bits a weight', 'Error of the weights', 'Time', 'Layers'])
    const tooltips = named(page, 'title').map(textOf)
    assert.ok(tooltips.includes('block 11: 4.100 bits a weight'))
    assert.equal(tooltips.filter(title => title.startsWith('block ')).length, 3 * 12)
    assert.equal(named(page, 'svg').filter(svg => svg.attrs.some(({ name }) => name === 'aria-label')).length, 3)
    assert.ok(!/NaN|undefined|Infinity/.test(page))
  })

  it('shows the steps of a figure side by side, and figures it has never heard of', () => {
    const steps = (block: number) => ({
      rank: block % 2,
      nearestOutputError: 0.1,
      outputError: 0.01,
      strangeness: block + 0.5,
    })
    const page = reportPage(example(3, steps))
    assert.deepEqual(headings(page), [
      'Bits a weight',
      'Error of the weights',
      'Error of the outputs',
      'Rank of the correction',
      'Time',
      'strangeness',
      'Layers',
    ])
    assert.deepEqual(named(page, 'li').map(textOf), ['plain rounding', 'as stored'])
    assert.deepEqual(tableOf(page)[2].slice(2), ['3.200', '0.003333', '0.1000', '0.01000', '0', '1.50', '2.500'])
  })

  it('draws a model of one block without error, one with none in a block, and one of hundreds', () => {
    for (const report of [example(1, () => ({ relativeSquaredError: 0, seconds: 0 })), example(0), example(200)]) {
      assert.ok(!/NaN|undefined|Infinity/.test(reportPage(report)))
      assert.equal(tableOf(reportPage(report)).length, report.layers.length)
    }
  })

  it('shows hostile names as text', () => {
    const name = `model.layers.0.<script>alert("1")</script>'&.weight`
    const report = example(1, () => ({ name, '<img src=x>': 3 }))
    report.model.name = '</title><script>alert(2)</script>'
    report.settings = { '<b>bold</b>': '"><script>alert(3)</script>' }
    const page = reportPage(report)
    assert.equal(named(page, 'script').length, 1)
    assert.equal(named(page, 'img').length + named(page, 'b').length, 0)
    assert.equal(named(page, 'h1').map(textOf)[0], `${report.model.name}, quantized`)
    assert.equal(tableOf(page)[0][0], name.replace('.weight', ''))
  })

  describe('in Chromium', () => {
    before(function () {
      if (chromium !== undefined) return
      console.log('      skipped: no Chromium here')
      this.skip()
    })

    it('opens without a word on the console, and runs no script but its own', () => {
      const report = example(4)
      assert.deepEqual(browse(reportPage(report)).console, [])
      const tampered = reportPage(report).replace('</main>', '</main><script>document.title = "run"</script>')
      const { html, console } = browse(tampered)
      assert.equal(console.length, 1)
      assert.match(console[0], /Content Security Policy/)
      assert.equal(textOf(named(html, 'title')[0]), 'example, quantized')
    })

    it('sorts the table by the column clicked on', () => {
      const clicks = '<script>for (let i = 0; i < 2; i++) document.querySelectorAll("th button")[2].click()</script>'
      const page = reportPage(example(12))
        .replace(/<meta http-equiv[^>]*>/, '')
        .replace('</body>', `${clicks}</body>`)
      const { html, console } = browse(page)
      assert.deepEqual(console, [])
      const bits = tableOf(html).map(row => Number(row[2]))
      assert.deepEqual(
        bits,
        Array.from({ length: 12 }, (_, i) => Math.round(10 * (4.1 - i / 10)) / 10),
      )
    })
  })
})
