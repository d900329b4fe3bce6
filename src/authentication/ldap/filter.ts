import {
  AndFilter,
  ApproximateFilter,
  EqualityFilter,
  ExtensibleFilter,
  GreaterThanEqualsFilter,
  LessThanEqualsFilter,
  NotFilter,
  OrFilter,
  PresenceFilter,
  SubstringFilter,
} from 'ldapts'
import type { Filter } from 'ldapts'
import type { FilterTemplate, FilterValue, FilterVariable } from '../../config/ldap-filter.ts'

/** What the variables of a template stand for. */
export type FilterVariables = Readonly<Partial<Record<FilterVariable, string>>>

/**
 * Makes a filter of a template. The values go into it as values, with their length in front of them, so that no
 * character in them means anything: there is no text that could be parsed again.
 *
 * @throws Error when the template wants a variable that is not there, which the configuration has ruled out
 */
export function fillFilter(template: FilterTemplate, variables: FilterVariables): Filter {
  switch (template.kind) {
    case 'and':
      return new AndFilter({ filters: template.filters.map((filter) => fillFilter(filter, variables)) })
    case 'or':
      return new OrFilter({ filters: template.filters.map((filter) => fillFilter(filter, variables)) })
    case 'not':
      return new NotFilter({ filter: fillFilter(template.filter, variables) })
    case 'present':
      return new PresenceFilter({ attribute: template.attribute })
    case 'substrings': {
      const { attribute, initial, any, final } = template
      return new SubstringFilter({ attribute, initial, any: [...any], final })
    }
    case 'extensible': {
      const { attribute: matchType, rule, dnAttributes } = template
      return new ExtensibleFilter({ matchType, rule, dnAttributes, value: fill(template.value, variables) })
    }
    case 'equal':
      return new EqualityFilter(comparison(template, variables))
    case 'approximate':
      return new ApproximateFilter(comparison(template, variables))
    case 'greaterOrEqual':
      return new GreaterThanEqualsFilter(comparison(template, variables))
    case 'lessOrEqual':
      return new LessThanEqualsFilter(comparison(template, variables))
  }
}

function comparison(
  { attribute, value }: { readonly attribute: string; readonly value: FilterValue },
  variables: FilterVariables,
): { readonly attribute: string; readonly value: string } {
  return { attribute, value: fill(value, variables) }
}

function fill(value: FilterValue, variables: FilterVariables): string {
  return value
    .map((piece) => {
      if (typeof piece === 'string') return piece
      const text = variables[piece.variable]
      if (text === undefined) throw new Error(`the filter wants {{${piece.variable}}}, which is not known here`)
      return text
    })
    .join('')
}
