/** Which request is being answered: what is logged on its behalf names it. */
export type RequestScope = {
  /** Runs a task, and all that it begins, on behalf of a request. */
  run<Result>(requestId: string, task: () => Result): Result
}
