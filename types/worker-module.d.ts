// biome-ignore-all lint/suspicious/noExplicitAny: only a handler's author knows what it takes and
// returns

/**
 * Types that read a worker module's type: the names of its handlers, their tasks, their results.
 *
 * `index.d.ts` uses these types in the signatures of a pool that knows its module. They look for
 * handlers where the worker looks for them: among the module's exports, then among those of an
 * object that is its default export (as CommonJS modules have it), up to two levels deep.
 *
 * Two rules keep compiler errors short. Every method has one signature, because the compiler prints
 * all overloads of a call that fits none. A wrong name is compared with the known names and with
 * nothing else, so that the error shows both.
 *
 * @module
 */

export type {
  AnyResult,
  FunctionIn,
  Handler,
  HandlerName,
  HandlerType,
  IsAny,
  NoHandlerForType,
  OptionsFor,
  ResultFor,
  ResultOf,
  TaskFor,
  TasksFor,
  ValueFor,
};

/** Any function. */
type Fn = (...args: any) => any;

/** `true` for `any`: the pool knows nothing of its module. */
type IsAny<T> = 0 extends 1 & T ? true : false;

/** The first of three types that is not `never`. */
type First<A, B, C> = [A] extends [never] ? ([B] extends [never] ? C : B) : A;

type Primitive = string | number | boolean | null;

// ---- The handlers of a module

/** `T` where it is a function. */
type FunctionIn<T> = T extends Fn ? T : never;
type FunctionNames<T> = T extends unknown
  ? { [Name in keyof T]: T[Name] extends Fn ? Name : never }[keyof T] & string
  : never;

/** The object that is the module's default export. */
type Inner<Module> = Module extends { default: infer Default } ? Default & object : never;
type At<Place, Name extends string> = Place extends Record<Name, infer Value> ? Value : never;
type Exported<Module, Name extends string> = First<
  FunctionIn<At<Module, Name>>,
  FunctionIn<At<Inner<Module>, Name>>,
  FunctionIn<At<Inner<Inner<Module>>, Name>>
>;

/** The handler of tasks that name none: the default export, or `processTask`. */
type DefaultHandler<Module> = First<
  First<FunctionIn<Module>, FunctionIn<Inner<Module>>, FunctionIn<Inner<Inner<Module>>>>,
  Exported<Module, 'processTask'>,
  never
>;

/** The module's export `handlers`. */
type Handlers<Module> = First<
  At<Module, 'handlers'> & object,
  At<Inner<Module>, 'handlers'> & object,
  At<Inner<Inner<Module>>, 'handlers'> & object
>;

/** The names that a task's `type` may have: entries of `handlers`. */
type HandlerType<Module> = IsAny<Module> extends true ? never : FunctionNames<Handlers<Module>>;

/** The names that the option `handler` may have: entries of `handlers`, and exported functions. */
type HandlerName<Module> =
  IsAny<Module> extends true
    ? never
    :
        | HandlerType<Module>
        | Exclude<
            | FunctionNames<Module>
            | FunctionNames<Inner<Module>>
            | FunctionNames<Inner<Inner<Module>>>,
            'default' | 'handlers' | 'module.exports' | 'processTask' | 'setup' | 'teardown'
          >
        | ([DefaultHandler<Module>] extends [never] ? never : 'default' | 'processTask');

/** The handler of a name. */
type Handler<Module, Name extends string> =
  Name extends HandlerType<Module>
    ? Handlers<Module>[Name & keyof Handlers<Module>]
    : Name extends 'default' | 'processTask'
      ? DefaultHandler<Module>
      : Exported<Module, Name>;

// ---- What a handler takes

/** The task that a handler takes; `unknown`: anything. */
type TaskOf<Handler> = Handler extends (...args: infer Args) => any
  ? Args extends readonly []
    ? unknown
    : Args[0]
  : never;

/** A task that each of several handlers takes. */
type TaskOfAll<Handlers> = [Handlers] extends [never]
  ? never
  : (Handlers extends Fn ? (task: TaskOf<Handlers>) => void : never) extends (
        task: infer Task,
      ) => void
    ? Task
    : never;

/** `Task`, with an `id` of the pool's whether or not its handler asks for one. */
type Identified<Task> = unknown extends Task ? unknown : Task | (Task & { id?: string | number });

/** The `type` of a task, as a literal; `never`: the task has none. */
type TypeIn<Task> =
  IsAny<Task> extends true
    ? never
    : Task extends { readonly type?: infer Type }
      ? Extract<Type, string>
      : never;

/**
 * A task whose `type` picks an entry of `handlers`. `Task` is what the caller gives, for a handler
 * that does not say what it takes.
 */
type TypedTask<Handler, Type extends string, Task> = {
  type: Type;
  id?: string | number;
} & (unknown extends TaskOf<Handler> ? Task : TaskOf<Handler>);

/** A task for the default handler whose `type` is no entry of `handlers`. */
type OtherTask<Module, Type extends string> =
  unknown extends TaskOf<DefaultHandler<Module>>
    ? unknown
    : TaskOf<DefaultHandler<Module>> & { type?: Type; id?: string | number };

/** The task that a caller may give: for the handler `Name` or, without one, by its `type`. */
type Expected<Module, Name extends string, Task> = [Name] extends [never]
  ? [Problem<Module, TypeIn<Task>, Task>] extends [never]
    ? UnnamedTask<Module, TypeIn<Task>, Task>
    : [HandlerType<Module>] extends [never]
      ? NoDefaultHandler
      : { type: HandlerType<Module> } & ([TypeIn<Task>] extends [never] ? Task : unknown)
  : [Name] extends [HandlerName<Module>]
    ? Identified<TaskOfAll<Handler<Module, Name>>>
    : unknown; // The name is wrong, and the error is about the name.
type UnnamedTask<Module, Type extends string, Task> = [Type] extends [never]
  ? Identified<TaskOf<DefaultHandler<Module>>>
  : [Type] extends [HandlerType<Module>]
    ? TypedTask<Handler<Module, Type>, Type, Task>
    : OtherTask<Module, Type>;

/** `Type`, for which the compiler infers `Given` from an argument. */
type Inferred<Given, Type> = [Given] extends [never] ? Given : Type;

/** The parameter `task` of `run`, `stream` and `distributeTask`. */
type TaskFor<Module, Name extends string, Task> =
  IsAny<Module> extends true ? unknown : Inferred<Task, Expected<Module, Name, Task>>;

/**
 * The parameter `iterable` of `map`. A task without a handler is shown as a problem of the whole,
 * because the difference between two iterables takes the compiler a dozen lines.
 */
type TasksFor<Module, Name extends string, Task> =
  IsAny<Module> extends true
    ? Iterable<unknown> | AsyncIterable<unknown>
    : [Name] extends [never]
      ? [Problem<Module, TypeIn<Awaited<Task>>, Awaited<Task>>] extends [never]
        ? Source<Task, Expected<Module, Name, Awaited<Task>>>
        : Problem<Module, TypeIn<Awaited<Task>>, Awaited<Task>>
      : Source<Task, Expected<Module, Name, Awaited<Task>>>;
type Source<Task, Item> =
  | Iterable<Inferred<Task, Item | PromiseLike<Item>>>
  | AsyncIterable<Inferred<Task, Item>>;

// ---- What the compiler shows where no handler is found

/** Shown as the expected task where the module can run none that names no handler. */
type NoDefaultHandler =
  'this worker module has no default handler: name a handler by the option "handler"';

/** Shown as the expected tasks of `map` where one has a type that no handler has. */
interface NoHandlerForType<Type, Known> {
  /** The types that no handler has; `undefined`: a task has none. */
  unknown: Type;
  /** The types that the module's `handlers` have. */
  known: Known;
}

/** Why no handler takes the task; `never`: one does. */
type Problem<Module, Type, Task> = [Type] extends [never]
  ? [DefaultHandler<Module>] extends [never]
    ? NoHandler<Module, undefined>
    : never
  : [Type] extends [HandlerType<Module>]
    ? never
    : [DefaultHandler<Module>] extends [never]
      ? NoHandler<Module, Exclude<Type, HandlerType<Module>>>
      : [HandlerType<Module>] extends [never]
        ? never
        : [Misfit<Task, TaskOf<DefaultHandler<Module>>>] extends [never]
          ? never
          : NoHandler<Module, Exclude<Type, HandlerType<Module>>>;
type NoHandler<Module, Type> = [HandlerType<Module>] extends [never]
  ? NoDefaultHandler
  : NoHandlerForType<Type, HandlerType<Module>>;

/**
 * The members by which a task certainly does not fit a handler: primitives of another type, and
 * what is missing. A task that the default handler does not take either has a misspelt `type`,
 * rather than a wrong member. (Objects and arrays do not count: their inferred type is narrower
 * than they are.)
 */
type Misfit<Task, Target> = [Task] extends [Target]
  ? never
  :
      | {
          [Name in keyof Task & keyof Target]: Task[Name] extends Primitive
            ? Task[Name] extends Target[Name]
              ? never
              : Name
            : never;
        }[keyof Task & keyof Target]
      | Exclude<RequiredNames<Target>, keyof Task>;
type RequiredNames<T> = {
  [Name in keyof T]-?: Partial<Pick<T, Name>> extends Pick<T, Name> ? never : Name;
}[keyof T];

/** `Options` whose `handler` is a name that the module has. */
type OptionsFor<Module, Name extends string, Options> =
  IsAny<Module> extends true
    ? Options
    : Omit<Options, 'handler'> & {
        handler?: [Name] extends [HandlerName<Module>] ? Name : HandlerName<Module>;
      };

// ---- What a handler gives

/** Result of `run` for a handler's return value: generators are collected, envelopes are opened. */
type Outcome<Value> =
  IsAny<Value> extends true
    ? any
    : Value extends AsyncIterable<infer Item>
      ? Item[]
      : Value extends IterableIterator<infer Item>
        ? Item[]
        : Value extends { taskId: unknown; result: infer Result; processedBy: unknown }
          ? [Exclude<keyof Value, 'taskId' | 'result' | 'processedBy'>] extends [never]
            ? Result
            : Value
          : Value;

/** The result of a task of this handler. */
type ResultOf<Handler> = Handler extends (...args: any) => infer Value
  ? Outcome<Awaited<Value>>
  : never;

/** Value of `stream` for a handler's return value: the values of an iterable, one by one. */
type Yielded<Value> =
  IsAny<Value> extends true
    ? any
    : Value extends AsyncIterable<infer Item>
      ? Item
      : Value extends Primitive
        ? never
        : Value extends Iterable<infer Item>
          ? Awaited<Item>
          : unknown extends Value
            ? unknown
            : never;
type ValueOf<Handler> = Handler extends (...args: any) => infer Value
  ? Yielded<Awaited<Value>>
  : never;

/** The handler, or the handlers, that a task may be for. */
type HandlerFor<Module, Name extends string, Task> = [Name] extends [never]
  ? [TypeIn<Task>] extends [never]
    ? DefaultHandler<Module>
    : HandlerOfType<Module, TypeIn<Task>>
  : Handler<Module, Name>;
type HandlerOfType<Module, Type extends string> =
  Type extends HandlerType<Module> ? Handler<Module, Type> : DefaultHandler<Module>;

/** The result of a task. `Otherwise` is that of a pool that knows nothing of its module. */
type ResultFor<Module, Name extends string, Task, Otherwise> =
  IsAny<Module> extends true ? Otherwise : ResultOf<HandlerFor<Module, Name, Awaited<Task>>>;

/** A value of a task's stream. `Otherwise` is that of a pool that knows nothing of its module. */
type ValueFor<Module, Name extends string, Task, Otherwise> =
  IsAny<Module> extends true ? Otherwise : ValueOf<HandlerFor<Module, Name, Task>>;

/** The result of any task of a pool. */
type AnyResult<Module> =
  IsAny<Module> extends true ? any : ResultOf<Handler<Module, HandlerName<Module>>>;
