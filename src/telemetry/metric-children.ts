import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'
import type { MetricDefinition } from './metric-definitions.ts'

/** Makes a child (a metric with its labels filled in) once for each key, so that a request looks it up only. */
export function remembered<Key, Child>(make: (key: Key) => Child): (key: Key) => Child {
  const children = new Map<Key, Child>()
  return (key) => {
    let child = children.get(key)
    if (child === undefined) {
      child = make(key)
      children.set(key, child)
    }
    return child
  }
}

/** A counter with one label, each of whose values stands at 0 from the start. */
export function counterBy<Label extends string, Value extends string>(
  registry: Registry,
  definition: MetricDefinition<Label>,
  label: Label,
  values: readonly Value[],
): (value: Value) => Counter.Internal {
  const metric = counter<string>(registry, definition)
  const children = remembered((value: Value) => metric.labels({ [label]: value }))
  for (const value of values) children(value).inc(0)
  return children
}

/** A counter of the registry, as its definition says. */
export function counter<Label extends string>(registry: Registry, definition: MetricDefinition<Label>): Counter<Label> {
  const { name, help, labels } = definition
  return new Counter({ name, help, labelNames: labels, registers: [registry] })
}

/** A gauge of the registry, as its definition says. */
export function gauge<Label extends string>(registry: Registry, definition: MetricDefinition<Label>): Gauge<Label> {
  const { name, help, labels } = definition
  return new Gauge({ name, help, labelNames: labels, registers: [registry] })
}

/** A histogram of the registry, as its definition says. */
export function histogram<Label extends string>(
  registry: Registry,
  definition: MetricDefinition<Label>,
): Histogram<Label> {
  const { name, help, labels, buckets = [] } = definition
  return new Histogram({ name, help, labelNames: labels, buckets: [...buckets], registers: [registry] })
}
