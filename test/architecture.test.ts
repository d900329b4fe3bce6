import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from '@jest/globals'

const source = resolve(import.meta.dirname, '../src')

/** Which folder or file of `src` may import which others, besides itself; an arrow of the architecture a row. */
const left = ['registry', 'config', 'telemetry', 'store']
const stages = ['authentication', 'authorization', 'rate-limit', 'headers', 'proxy', 'token']
const pages = [
  'authorize',
  'exchange',
  'connection',
  'gateway',
  'error-response',
  'maintenance',
  'request-head',
  'listener',
]
const allowed: Readonly<Record<string, readonly string[]>> = {
  registry: [],
  config: ['registry'],
  telemetry: ['registry', 'config'],
  store: ['registry', 'config', 'telemetry'],
  ...Object.fromEntries(stages.map((stage) => [stage, left])),
  ...Object.fromEntries(pages.map((page) => [page, [...left, ...stages, ...pages]])),
  server: [...left, ...stages, ...pages],
  cli: [...left, ...stages, ...pages, 'server'],
}

/** Which folder a third-party library belongs to, so that it can be replaced there. */
const libraries: Readonly<Record<string, string>> = {
  yaml: 'config',
  zod: 'config',
  ioredis: 'store',
  ldapts: 'authentication',
  passport: 'authentication',
  '@node-rs/bcrypt': 'authentication',
  express: 'gateway',
  pino: 'telemetry',
  'prom-client': 'telemetry',
  commander: 'cli',
  '@peculiar/x509': 'cli',
  'reflect-metadata': 'cli',
}

type Import = { readonly from: string; readonly specifier: string; readonly typeOnly: boolean }

function sourceFiles(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))
}

/** The first folder below `src`, or the file's own name at the top. */
function area(file: string): string {
  return relative(source, file).split('/')[0]?.replace(/\.ts$/, '') ?? ''
}

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(file, 'utf8')
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'"]*?\sfrom\s+)?'([^']+)'/gms)
  const dynamic = text.matchAll(/\bimport\(\s*'([^']+)'/g)
  return [
    ...[...statements].map(([, type, specifier = '']) => ({ from: file, specifier, typeOnly: type !== undefined })),
    ...[...dynamic].map(([, specifier = '']) => ({ from: file, specifier, typeOnly: false })),
  ]
}

const files = sourceFiles(source)
const imports = files.flatMap(importsOf)
const ours = imports.filter(({ specifier }) => specifier.startsWith('.'))
const foreign = imports.filter(({ specifier }) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
const show = ({ from, specifier }: Import): string => `${relative(source, from)} imports ${specifier}`

describe('the architecture', () => {
  test('sources were found', () => {
    expect(files.length).toBeGreaterThan(20)
    expect(ours.length).toBeGreaterThan(files.length)
  })
  test('every area has its row of arrows', () => {
    expect(files.map(area).filter((name) => allowed[name] === undefined)).toEqual([])
  })
  test('imports follow the arrows, types included', () => {
    const wrong = ours.filter(({ from, specifier }) => {
      const target = area(resolve(dirname(from), specifier))
      return target !== area(from) && allowed[area(from)]?.includes(target) !== true
    })
    expect(wrong.map(show)).toEqual([])
  })
  test('relative imports name the file with its ending', () => {
    expect(ours.filter(({ specifier }) => !specifier.endsWith('.ts')).map(show)).toEqual([])
  })
  test('each library is imported by one folder alone', () => {
    const packageOf = (specifier: string): string =>
      specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/')
    const wrong = foreign.filter(({ from, specifier }) => libraries[packageOf(specifier)] !== area(from))
    expect(wrong.map(show)).toEqual([])
  })
  test('nothing imports in a circle', () => {
    const edges = new Map<string, string[]>(files.map((file) => [file, []]))
    for (const { from, specifier, typeOnly } of ours)
      if (!typeOnly) edges.get(from)?.push(resolve(dirname(from), specifier))
    const state = new Map<string, 'open' | 'done'>()
    const circles: string[] = []
    const visit = (file: string, path: readonly string[]): void => {
      if (state.get(file) === 'done') return
      if (state.get(file) === 'open') {
        circles.push([...path, file].map((name) => relative(source, name)).join(' -> '))
        return
      }
      state.set(file, 'open')
      for (const next of edges.get(file) ?? []) visit(next, [...path, file])
      state.set(file, 'done')
    }
    for (const file of files) visit(file, [])
    expect(circles).toEqual([])
  })
  test('only evaluate.ts makes a Grant', () => {
    const makers = files.filter((file) => /\bas (?:unknown as )?Grant\b/.test(readFileSync(file, 'utf8')))
    expect(makers.map((file) => relative(source, file))).toEqual(['authorization/evaluate.ts'])
  })
  test('only server and cli touch the process', () => {
    const wrong = files.filter((file) => {
      const text = readFileSync(file, 'utf8').replaceAll(/\/\*.*?\*\//gs, '')
      return !['server', 'cli'].includes(area(file)) && /\bprocess\.(?:env|exit|on|once|kill|argv)\b/.test(text)
    })
    expect(wrong.map((file) => relative(source, file))).toEqual([])
  })
  test('gateway.ts stays one page', () => {
    expect(readFileSync(join(source, 'gateway.ts'), 'utf8').split('\n').length).toBeLessThanOrEqual(121)
  })
})
