import NodeEnvironment from 'jest-environment-node'

/** Where tests run until one of them fails: a mutant is found then, and Stryker would let all others run all the same. */
export default class FirstFailureEnvironment extends NodeEnvironment {
  #hasFailed = false

  handleTestEvent(event) {
    if (event.name === 'test_fn_failure' || event.name === 'hook_failure') this.#hasFailed = true
    if (event.name === 'test_start' && this.#hasFailed) event.test.mode = 'skip'
  }
}
